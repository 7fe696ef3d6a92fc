// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The version of weft, as `MAJOR.MINOR.PATCH`. Before 1.0 the ABI may change with each minor
/// version; the wire format and the names of metrics do not.
#define WEFT_VERSION "0.1.0"
