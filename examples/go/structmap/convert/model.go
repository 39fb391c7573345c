package convert

import (
	"reflect"
	"time"
)

//go:generate go run ../gen -o model_generated.go

// Types are those that code is generated for.
func Types() []reflect.Type {
	return []reflect.Type{reflect.TypeOf(Order{}), reflect.TypeOf(Customer{}), reflect.TypeOf(Item{}), reflect.TypeOf(Node{})}
}

// Status is a number with a name.
type Status int

// Order is what the service of this example converts with each request.
type Order struct {
	ID       int64             `json:"id"`
	Status   Status            `json:"status"`
	Paid     bool              `json:"paid"`
	Total    float64           `json:"total"`
	Customer *Customer         `json:"customer"`
	Items    []Item            `json:"items"`
	Tags     map[string]string `json:"tags"`
	Note     *string           `json:"note"`
	Placed   time.Time         `json:"placed"`
	Extra    any               `json:"extra"`
	Codes    [2]uint8          `json:"codes"`
	Password string            `json:"-"`
	Untagged uint64
	secret   string
	Audit
	*Origin
}

// Audit is embedded, Origin by pointer.
type Audit struct {
	By string `json:"by"`
	// ID is hidden by that of the order.
	ID string `json:"id"`
}

// Origin may not be there.
type Origin struct {
	Country string `json:"country"`
	unknown int
}

// Customer is behind a pointer.
type Customer struct {
	Name  string              `json:"name"`
	Mails []string            `json:"mails"`
	Rates map[string]*float32 `json:"rates"`
}

// Item is in a slice.
type Item struct {
	SKU   string `json:"sku"`
	Count uint16 `json:"count"`
	Price int32  `json:"price"`
}

// Node may lead back to itself.
type Node struct {
	Name  string           `json:"name"`
	Next  *Node            `json:"next"`
	Any   any              `json:"any"`
	Nodes []*Node          `json:"nodes"`
	Named map[string]*Node `json:"named"`
}

// Example is an order with something in every field.
func Example() *Order {
	note, rate := "ring twice", float32(0.5)
	return &Order{
		ID: 1<<62 + 1, Status: 3, Paid: true, Total: 129.75,
		Customer: &Customer{Name: "Ada", Mails: []string{"ada@example.com", "a@example.org"}, Rates: map[string]*float32{"vat": &rate, "none": nil}},
		Items:    []Item{{"apple", 3, 25}, {"pear", 1, 40}, {"quince", 12, 95}},
		Tags:     map[string]string{"channel": "web", "region": "eu"},
		Note:     &note,
		Placed:   time.Date(2026, 11, 28, 12, 30, 0, 0, time.UTC),
		Extra:    Item{"gift", 1, 0},
		Codes:    [2]uint8{7, 9},
		Password: "hunter2", secret: "hidden", Untagged: 1<<64 - 1,
		Audit:  Audit{By: "till", ID: "hidden"},
		Origin: &Origin{Country: "SI", unknown: 1},
	}
}
