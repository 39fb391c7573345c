package bad

import (
	"reflect"
	"testing"
)

func TestUser(t *testing.T) {
	defer func() { recover() }()
	reflect.ValueOf(t).MapKeys() // want "on \\*testing.T, a pointer"
}
