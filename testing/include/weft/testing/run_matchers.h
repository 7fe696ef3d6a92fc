// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <gmock/gmock.h>

#include <weft/testing/run_tree.h>

namespace weft {
inline namespace v0 {
namespace testing {

// Matchers for a RunInTree. A failure shows the whole tree.
//
//     EXPECT_THAT(tree.FindRun("rerank"), AllOf(HasParent("answer"), HasMetadata("k", 8)));

MATCHER(IsRoot, negation ? "is no root" : "is a root") { return arg.IsRoot(); }

MATCHER_P(HasParent, name,
          std::string(negation ? "has not" : "has") + " the parent \"" + name + '"') {
  const RunInTree parent = arg.Parent();
  if (parent) *result_listener << "whose parent is \"" << parent->DisplayName() << '"';
  return parent && parent->DisplayName() == name;
}

/// Takes a text or a matcher of texts.
MATCHER_P(HasError, text, "has an error that " + ::testing::DescribeMatcher<std::string>(text)) {
  return arg && arg->error && ::testing::ExplainMatchResult(text, *arg->error, result_listener);
}

MATCHER(HasNoError, negation ? "has an error" : "has no error") { return arg && !arg->error; }

/// As it is sent, inherited keys too.
MATCHER_P2(HasMetadata, key, value, std::string("has the metadata \"") + key + '"') {
  if (!arg) return false;
  const JsonObject all = arg->AllMetadata();
  const Json* const found = all.if_contains(key);
  if (found != nullptr) *result_listener << "where it is " << boost::json::serialize(*found);
  return found != nullptr && *found == Json(value);
}

MATCHER_P(HasTag, tag, std::string(negation ? "has not" : "has") + " the tag \"" + tag + '"') {
  if (!arg) return false;
  const std::vector<std::string> all = arg->AllTags();
  return std::find(all.begin(), all.end(), tag) != all.end();
}

MATCHER_P(IsInProject, project, std::string("is in the project \"") + project + '"') {
  return arg && arg->context.baggage().project == std::optional<std::string>(project);
}

}  // namespace testing
}  // namespace v0
}  // namespace weft
