package main

import (
	"bytes"
	"os"
	"reflect"
	"testing"

	"example.com/goroutines/structmap/convert"
)

// What is committed is what is generated: go generate ./structmap/convert
func TestGeneratedFileIsOfToday(t *testing.T) {
	made, err := generate(convert.Types())
	if err != nil {
		t.Fatal(err)
	}
	there, err := os.ReadFile("../convert/model_generated.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, there) {
		t.Error("model_generated.go is not what the tags say: go generate ./structmap/convert")
	}
}

func TestTypesThatCannotBeWritten(t *testing.T) {
	type Strange struct{ C chan int }
	if _, err := generate([]reflect.Type{reflect.TypeOf(Strange{})}); err == nil {
		t.Error("no error for a channel")
	}
}
