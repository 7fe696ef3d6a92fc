// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace weft::collector {

/// One part of a multipart/form-data body, as slices of it.
struct FormPart {
  std::string_view name;          ///< Of the form field, as sent: see UnescapedName.
  std::string_view content_type;  ///< As sent, `length` parameter included.
  std::string_view content;
};

/// The boundary that a Content-Type of multipart/form-data names, quoted or not.
absl::StatusOr<std::string> MultipartBoundary(std::string_view content_type);

/// A media type without one of its parameters: `text/plain; length=3` -> `text/plain`.
std::string WithoutParameter(std::string_view media_type, std::string_view parameter);

/// A field name without the backslashes that stand before quotes and backslashes.
std::string UnescapedName(std::string_view name);

/// Reads the parts of a multipart/form-data body in order, as slices.
///
/// A part whose length is declared (`Content-Length` of the part, or the parameter `length` of its
/// `Content-Type`) may contain what looks like a boundary; the declaration must be right. Others
/// end at the next boundary, as RFC 7578 has it. Text before the first boundary and after the last
/// is ignored.
///
///     MultipartReader reader(body, boundary);
///     FormPart part;
///     while (reader.Next(&part)) Use(part);
///     if (!reader.status().ok()) return reader.status();  // names the part
///
/// Lifetime: the body must outlive the parts.
class MultipartReader {
 public:
  MultipartReader(std::string_view body, std::string_view boundary);

  bool Next(FormPart* part);
  const absl::Status& status() const { return status_; }

 private:
  bool Fail(std::string_view what);
  bool Begin();
  bool ReadHeaders(FormPart* part, std::size_t* declared, bool* is_declared);
  bool ReadContent(FormPart* part, std::size_t declared, bool is_declared);
  bool ReadDelimiterEnd();

  std::string_view body_;
  std::string delimiter_;  ///< CR LF "--" boundary.
  std::size_t next_ = 0;
  std::size_t parts_ = 0;
  std::string_view part_name_;
  bool begun_ = false;
  bool done_ = false;
  absl::Status status_;
};

}  // namespace weft::collector
