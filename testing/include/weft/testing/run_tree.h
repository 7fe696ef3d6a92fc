// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <weft/tracing/run_record.h>

namespace weft {
inline namespace v0 {
namespace testing {

class RunTree;

/// A run in its tree. Empty when it was looked for and not found: then no matcher accepts it and
/// the failure text shows the tree.
///
/// Lifetime: as long as it likes; it shares the tree.
class RunInTree {
 public:
  explicit operator bool() const noexcept { return run_ != nullptr; }
  const RunRecord& operator*() const noexcept { return *run_; }
  const RunRecord* operator->() const noexcept { return run_; }

  /// The run above, if it is in the tree.
  RunInTree Parent() const;
  /// In the order of their dotted order.
  std::vector<RunInTree> Children() const;
  bool IsRoot() const;

 private:
  friend class RunTree;
  friend std::ostream& operator<<(std::ostream& out, const RunInTree& run);
  struct Data;
  RunInTree(std::shared_ptr<const Data> tree, const RunRecord* run, std::string wanted);

  std::shared_ptr<const Data> tree_;
  const RunRecord* run_ = nullptr;
  std::string wanted_;
};

/// Runs by who called whom.
///
///     RunTree tree = exporter->Tree();
///     EXPECT_THAT(tree.FindRun("rerank"), HasParent("answer"));
///     EXPECT_EQ(tree.ToString(),
///               "answer\n"
///               "  rerank\n");
class RunTree {
 public:
  explicit RunTree(std::vector<RunRecord> runs);

  std::size_t size() const noexcept;
  /// The only run of that name; empty when there is none, or more than one.
  RunInTree FindRun(std::string_view name) const;
  std::vector<RunInTree> FindRuns(std::string_view name) const;
  /// Runs whose parent is not in the tree.
  std::vector<RunInTree> Roots() const;
  /// One line per run, two blanks per level, an error after the name: `rerank !timeout`.
  std::string ToString() const;

 private:
  std::shared_ptr<const RunInTree::Data> data_;
};

std::ostream& operator<<(std::ostream& out, const RunTree& tree);

}  // namespace testing
}  // namespace v0
}  // namespace weft
