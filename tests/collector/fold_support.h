// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include <weft/collector/record.h>

namespace weft::collector {

/// Builds operations and the payload that their parts lie in.
class PayloadBuilder {
 public:
  using Fields = std::vector<std::pair<PartField, std::string>>;

  RunOp Op(OpKind kind, RunId run, RunId trace, const Fields& parts, std::string project = {}) {
    RunOp op;
    op.kind = kind;
    op.run_id = run;
    op.trace_id = trace;
    op.is_root = run == trace;
    op.project = std::move(project);
    for (const auto& [field, text] : parts) op.parts.push_back(Place(field, text));
    return op;
  }

  Part Place(PartField field, const std::string& text) {
    Part part;
    part.field = field;
    part.offset = payload.size();
    part.length = text.size();
    payload += text;
    return part;
  }

  Part Attachment(const std::string& name, const std::string& type, const std::string& content) {
    Part part = Place(PartField::kAttachment, content);
    part.name = name;
    part.mime_type = type;
    return part;
  }

  std::string payload;
};

inline boost::json::object ParseObject(const std::string& text) {
  boost::json::error_code error;
  boost::json::value value = boost::json::parse(text, error);
  EXPECT_FALSE(error) << text;
  EXPECT_TRUE(value.is_object()) << text;
  return value.is_object() ? value.get_object() : boost::json::object();
}

}  // namespace weft::collector
