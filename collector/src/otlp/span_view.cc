// SPDX-License-Identifier: Apache-2.0
#include "otlp/span_view.h"

#include <utility>

#include "otlp/proto_reader.h"

namespace weft::collector {
namespace {

constexpr auto kVarint = ProtoReader::kVarint;
constexpr auto kFixed64 = ProtoReader::kFixed64;
constexpr auto kDelimited = ProtoReader::kDelimited;

SpanEvent ReadEvent(std::string_view bytes) {
  SpanEvent event;
  for (ProtoReader in(bytes); in.Next();) {
    if (in.Is(1, kFixed64)) event.time_unix_ns = in.number();
    if (in.Is(2, kDelimited)) event.name = in.bytes();
    if (in.Is(3, kDelimited)) event.attributes.Add(in.bytes());
  }
  event.attributes.Sort();
  return event;
}

SpanLink ReadLink(std::string_view bytes) {
  SpanLink link;
  for (ProtoReader in(bytes); in.Next();) {
    if (in.Is(1, kDelimited)) link.trace_id = in.bytes();
    if (in.Is(2, kDelimited)) link.span_id = in.bytes();
    if (in.Is(4, kDelimited)) link.attributes.Add(in.bytes());
  }
  link.attributes.Sort();
  return link;
}

}  // namespace

SpanView::SpanView(const SpanSlices& slices, const SpanIds& span_ids) : ids(span_ids) {
  for (ProtoReader in(slices.span); in.Next();) {
    if (in.Is(3, kDelimited)) trace_state = in.bytes();
    if (in.Is(5, kDelimited)) name = in.bytes();
    if (in.Is(6, kVarint)) kind = in.number();
    if (in.Is(9, kDelimited)) attributes.Add(in.bytes());
    if (in.Is(11, kDelimited)) events.push_back(ReadEvent(in.bytes()));
    if (in.Is(13, kDelimited)) links.push_back(ReadLink(in.bytes()));
    if (!in.Is(15, kDelimited)) continue;
    for (ProtoReader status(in.bytes()); status.Next();) {
      if (status.Is(2, kDelimited)) status_message = status.bytes();
      if (status.Is(3, kVarint)) status_code = status.number();
    }
  }
  for (ProtoReader in(slices.resource); in.Next();) {
    if (in.Is(1, kDelimited)) resource.Add(in.bytes());
  }
  for (ProtoReader in(slices.scope); in.Next();) {
    if (in.Is(1, kDelimited)) scope_name = in.bytes();
    if (in.Is(2, kDelimited)) scope_version = in.bytes();
  }
  attributes.Sort();
  resource.Sort();
}

}  // namespace weft::collector
