// SPDX-License-Identifier: Apache-2.0

// Predict computes with a model from Go, by cgo: `predict MODEL INPUT.npy EXPECTED.npy` compares the outputs with the expected ones. For
// models of float32 with one input and one output. Build it with
// `CGO_CFLAGS=$(pkg-config --cflags lamella) CGO_LDFLAGS=$(pkg-config --libs lamella) go build predict.go`.
package main

/*
#include <lamella/lamella.h>
#include <stdlib.h>
*/
import "C"

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unsafe"
)

// check frees an error of the library and returns its message.
func check(err *C.lamella_error) error {
	if err == nil {
		return nil
	}
	defer C.lamella_error_free(err)
	return errors.New(C.GoString(C.lamella_error_message(err)))
}

// model may be used by any number of goroutines at once, as long as nobody updates its weights.
type model struct{ handle *C.lamella_model }

func load(path string, settings map[string]string) (*model, error) {
	var options *C.lamella_options
	if err := check(C.lamella_options_create(&options)); err != nil {
		return nil, err
	}
	defer C.lamella_options_free(options)
	for name, value := range settings {
		n, v := C.CString(name), C.CString(value)
		err := check(C.lamella_options_set(options, n, v))
		C.free(unsafe.Pointer(n))
		C.free(unsafe.Pointer(v))
		if err != nil {
			return nil, err
		}
	}
	p := C.CString(path)
	defer C.free(unsafe.Pointer(p))
	var made model
	if err := check(C.lamella_model_load(p, options, &made.handle)); err != nil {
		return nil, err
	}
	return &made, nil
}

func (m *model) close() { C.lamella_model_free(m.handle) }

// array is in memory of C: a struct that is given to C must not point to memory of Go.
type array struct {
	tensor C.lamella_tensor
	values []float32
}

func newArray(shape []int64) *array {
	elements := int64(1)
	for _, extent := range shape {
		elements *= extent
	}
	made := &array{}
	made.tensor.struct_size = C.size_t(unsafe.Sizeof(made.tensor))
	made.tensor.data = C.calloc(C.size_t(elements+1), 4)
	made.tensor.dtype = C.LAMELLA_FLOAT32
	made.tensor.ndim = C.int32_t(len(shape))
	made.tensor.shape = (*C.int64_t)(C.calloc(C.size_t(len(shape)+1), 8))
	made.tensor.device_type = C.LAMELLA_CPU
	copy(unsafe.Slice((*int64)(unsafe.Pointer(made.tensor.shape)), len(shape)), shape)
	made.values = unsafe.Slice((*float32)(made.tensor.data), elements)
	return made
}

func (a *array) free() {
	C.free(a.tensor.data)
	C.free(unsafe.Pointer(a.tensor.shape))
}

// predict returns the output for x of this shape, rows first, both in C order.
func (m *model) predict(x []float32, shape []int64) ([]float32, error) {
	var what C.lamella_tensor
	what.struct_size = C.size_t(unsafe.Sizeof(what))
	if err := check(C.lamella_model_output(m.handle, 0, &what)); err != nil {
		return nil, err
	}
	to := append([]int64(nil), unsafe.Slice((*int64)(unsafe.Pointer(what.shape)), what.ndim)...)
	if len(shape) > 0 {
		to[0] = shape[0]
	}
	for _, extent := range to {
		if extent < 0 || what.dtype != C.LAMELLA_FLOAT32 {
			return nil, fmt.Errorf("the output has dtype %d and shape %v; this program takes float32 and no open extents", what.dtype, to)
		}
	}
	in, out := newArray(shape), newArray(to)
	defer in.free()
	defer out.free()
	if copy(in.values, x) != len(x) || len(x) != len(in.values) {
		return nil, fmt.Errorf("%d elements do not have the shape %v", len(x), shape)
	}
	if err := check(C.lamella_model_predict(m.handle, &in.tensor, 1, &out.tensor, 1)); err != nil {
		return nil, err
	}
	return append([]float32(nil), out.values...), nil
}

var shapeOf = regexp.MustCompile(`'shape': \(([0-9, ]*)\)`)

// loadNpy reads a file of little-endian float32 in C order.
func loadNpy(path string) ([]float32, []int64, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	other := fmt.Errorf("%s: is not version 1 of npy with float32 in C order", path)
	if len(content) < 10 || !bytes.HasPrefix(content, []byte("\x93NUMPY\x01")) {
		return nil, nil, other
	}
	start := 10 + int(binary.LittleEndian.Uint16(content[8:]))
	if start > len(content) {
		return nil, nil, other
	}
	header := string(content[10:start])
	found := shapeOf.FindStringSubmatch(header)
	if found == nil || !strings.Contains(header, "'<f4'") || !strings.Contains(header, "'fortran_order': False") {
		return nil, nil, other
	}
	var shape []int64
	for _, text := range strings.Split(found[1], ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		extent, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, nil, other
		}
		shape = append(shape, extent)
	}
	values := make([]float32, (len(content)-start)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(content[start+4*i:]))
	}
	return values, shape, nil
}

func run(arguments []string) error {
	if len(arguments) != 4 {
		return errors.New("usage: predict MODEL INPUT.npy EXPECTED.npy")
	}
	if C.lamella_abi_version() != C.LAMELLA_ABI_VERSION {
		return errors.New("this program was compiled for another version of the library")
	}
	m, err := load(arguments[1], map[string]string{"device": "cpu"})
	if err != nil {
		return err
	}
	defer m.close()
	x, shape, err := loadNpy(arguments[2])
	if err != nil {
		return err
	}
	y, err := m.predict(x, shape)
	if err != nil {
		return err
	}
	wanted, _, err := loadNpy(arguments[3])
	if err != nil {
		return err
	}
	if len(y) != len(wanted) {
		return fmt.Errorf("got %d values, expected %d", len(y), len(wanted))
	}
	for i := range y {
		if difference := math.Abs(float64(y[i] - wanted[i])); !(difference <= 1e-5) { // NaN is not
			return fmt.Errorf("value %d: got %v, expected %v", i, y[i], wanted[i])
		}
	}
	fmt.Printf("%d values are as expected\n", len(y))
	return nil
}

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
