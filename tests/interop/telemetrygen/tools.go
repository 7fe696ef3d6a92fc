//go:build tools

// SPDX-License-Identifier: Apache-2.0

// Package tools names the program for go.mod: it is built as it is.
package tools

import _ "github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen"
