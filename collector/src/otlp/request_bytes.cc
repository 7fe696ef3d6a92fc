// SPDX-License-Identifier: Apache-2.0
#include "otlp/request_bytes.h"

#include <weft/tracing/internal/proto_writer.h>
#include "otlp/proto_reader.h"

namespace weft::collector {
namespace {

constexpr auto kDelimited = ProtoReader::kDelimited;
using Keep = std::function<bool(std::uint64_t)>;

// Copies a message, and of its fields 2 what `copy_inner` makes of them. Nothing when all were
// there to be copied and none was left.
template <typename CopyInner>
void CopyOuter(std::string_view message, int field, const CopyInner& copy_inner, std::string& out) {
  const std::size_t before = out.size();
  internal::ProtoWriter writer(out);
  const auto begin = writer.Begin(field);
  bool had_inner = false, has_inner = false;
  for (ProtoReader in(message); in.Next();) {
    if (!in.Is(2, kDelimited)) {
      out += in.raw();
      continue;
    }
    had_inner = true;
    const std::size_t size = out.size();
    copy_inner(in, out);
    has_inner |= out.size() > size;
  }
  if (had_inner && !has_inner) {
    out.resize(before);
  } else {
    writer.End(begin);
  }
}

}  // namespace

std::string KeepSpans(std::string_view request, const Keep& keep) {
  std::string out;
  out.reserve(request.size());
  const auto copy_span = [&](const ProtoReader& span, std::string& to) {
    const auto offset = static_cast<std::uint64_t>(span.bytes().data() - request.data());
    if (keep(offset)) to += span.raw();
  };
  const auto copy_scope = [&](const ProtoReader& scope_spans, std::string& to) {
    CopyOuter(scope_spans.bytes(), 2, copy_span, to);
  };
  for (ProtoReader in(request); in.Next();) {
    if (in.Is(1, kDelimited)) {
      CopyOuter(in.bytes(), 1, copy_scope, out);
    } else {
      out += in.raw();
    }
  }
  return out;
}

std::string OneSpanRequest(std::string_view span, std::string_view resource,
                           std::string_view scope) {
  std::string request;
  internal::ProtoWriter writer(request);
  const auto resource_spans = writer.Begin(1);
  if (!resource.empty()) writer.Text(1, resource);
  const auto scope_spans = writer.Begin(2);
  if (!scope.empty()) writer.Text(1, scope);
  writer.Text(2, span);
  writer.End(scope_spans);
  writer.End(resource_spans);
  return request;
}

}  // namespace weft::collector
