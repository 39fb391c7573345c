// Command run calls the functions of both packages and prints which of them panic because a value is of another kind.
package main

import (
	"fmt"
	"reflect"

	"example.com/data/bad"
	"example.com/data/good"
)

func try(name string, run func()) {
	defer func() {
		problem := recover()
		_, wrong := problem.(*reflect.ValueError)
		fmt.Println(name, problem != nil, wrong)
	}()
	run()
}

func main() {
	for _, f := range bad.All {
		try("bad."+f.Name, f.Run)
	}
	for _, f := range good.All {
		try("good."+f.Name, f.Run)
	}
}
