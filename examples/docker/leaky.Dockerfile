# The service that leaks, of examples/go/leaky. The context is examples/go.
FROM golang:1.27.3-alpine AS build
WORKDIR /src
COPY go.mod ./
COPY leaky leaky
RUN CGO_ENABLED=0 go build -trimpath -o /leaky.bin ./leaky

FROM scratch
COPY --from=build /leaky.bin /leaky
USER 65532:65532
EXPOSE 6060
ENTRYPOINT ["/leaky"]
HEALTHCHECK NONE
