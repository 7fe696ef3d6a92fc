// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace weft {
inline namespace v0 {
namespace internal {

/// Builds a body of multipart/form-data as LangSmith takes it.
///
///     FormData form;
///     form.Append("post." + id, "application/json", json);
///     Send(form.content_type(), std::move(form).Finish());
class FormData {
 public:
  /// With a boundary that no honest payload holds; another one each time.
  FormData();

  /// Contents are copied as they are. Nothing in a name can end the header, and a type that could
  /// is replaced.
  void Append(std::string_view name, std::string_view type, std::string_view content);
  /// JSON named by the three together, which hold nothing that could end the header.
  void AppendJson(std::string_view operation, std::string_view id, std::string_view field,
                  std::string_view json);

  void Reserve(std::size_t bytes) { body_.reserve(bytes); }
  std::size_t size() const { return body_.size(); }
  std::string content_type() const { return "multipart/form-data; boundary=" + boundary_; }
  std::string Finish() &&;

 private:
  // `behind_name` up to the length of the content.
  void AppendPart(const std::array<std::string_view, 3>& name, std::string_view behind_name,
                  std::string_view content);

  std::string boundary_;
  std::string before_name_;  // Of each part.
  std::string body_;
};

/// One zstd frame of level 1.
std::string CompressZstd(std::string_view content);

}  // namespace internal
}  // namespace v0
}  // namespace weft
