// Package api has the shapes of the public service: the protobuf definitions in quorate/v1 with what is generated from
// them, the names of errors in reason, and here the JSON of the plain GET answers.
//
// In that JSON 64-bit integers are strings, bytes are lower-case hexadecimal, and keys are snake_case.
package api

//go:generate ./generate
