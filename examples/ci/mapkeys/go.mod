module example.com/ci/mapkeys

go 1.21
