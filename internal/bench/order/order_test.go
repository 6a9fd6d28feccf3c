package order

import (
	"bytes"
	"testing"
)

func TestOrder(t *testing.T) {
	var b bytes.Buffer
	want := Order{Kind: Take, Count: 1<<40 + 7}
	if err := want.Write(&b); err != nil {
		t.Fatal(err)
	}
	short := bytes.NewReader(b.Bytes()[:b.Len()-1])
	if got, err := Read(&b); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if _, err := Read(short); err == nil {
		t.Error("half an order is one")
	}
}
