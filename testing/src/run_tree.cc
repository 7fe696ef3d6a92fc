// SPDX-License-Identifier: Apache-2.0
#include <weft/testing/run_tree.h>

#include <algorithm>
#include <utility>

namespace weft {
inline namespace v0 {
namespace testing {

struct RunInTree::Data {
  std::vector<RunRecord> runs;  // By dotted order: parents before children.

  const RunRecord* ParentOf(const RunRecord& run) const {
    const auto parent_id = run.context.parent_id();
    const auto found = std::find_if(runs.begin(), runs.end(), [&](const RunRecord& other) {
      return parent_id && other.context.id() == *parent_id;
    });
    return found != runs.end() ? &*found : nullptr;
  }

  std::vector<const RunRecord*> ChildrenOf(const RunRecord* parent) const {
    std::vector<const RunRecord*> children;
    for (const RunRecord& run : runs) {
      const bool below = parent != nullptr ? run.context.parent_id() == parent->context.id()
                                           : ParentOf(run) == nullptr;
      if (below) children.push_back(&run);
    }
    return children;
  }

  void Print(const RunRecord* parent, std::size_t depth, std::string& out) const {
    for (const RunRecord* run : ChildrenOf(parent)) {
      out.append(2 * depth, ' ').append(run->DisplayName());
      if (run->error) out.append(" !").append(run->error->substr(0, run->error->find('\n')));
      if (!run->end) out += " (open)";
      out += '\n';
      Print(run, depth + 1, out);
    }
  }
};

RunInTree::RunInTree(std::shared_ptr<const Data> tree, const RunRecord* run, std::string wanted)
    : tree_(std::move(tree)), run_(run), wanted_(std::move(wanted)) {}

RunInTree RunInTree::Parent() const {
  const RunRecord* const parent = run_ != nullptr ? tree_->ParentOf(*run_) : nullptr;
  return RunInTree(tree_, parent, "the parent of " + wanted_);
}

std::vector<RunInTree> RunInTree::Children() const {
  std::vector<RunInTree> children;
  if (run_ == nullptr) return children;
  for (const RunRecord* child : tree_->ChildrenOf(run_)) {
    children.push_back(RunInTree(tree_, child, std::string(child->DisplayName())));
  }
  return children;
}

bool RunInTree::IsRoot() const {
  return run_ != nullptr && run_->context.id() == run_->context.trace_id();
}

std::ostream& operator<<(std::ostream& out, const RunInTree& run) {
  if (run) {
    out << '"' << run->DisplayName() << '"';
  } else {
    out << "no run, or more than one, \"" << run.wanted_ << '"';
  }
  std::string tree;
  if (run.tree_) run.tree_->Print(nullptr, 1, tree);
  return out << " in the tree\n" << (tree.empty() ? "  (empty)\n" : tree);
}

RunTree::RunTree(std::vector<RunRecord> runs) {
  std::stable_sort(runs.begin(), runs.end(), [](const RunRecord& a, const RunRecord& b) {
    return a.context.dotted_order() < b.context.dotted_order();
  });
  data_ = std::make_shared<const RunInTree::Data>(RunInTree::Data{std::move(runs)});
}

std::size_t RunTree::size() const noexcept { return data_->runs.size(); }

RunInTree RunTree::FindRun(std::string_view name) const {
  const std::vector<RunInTree> found = FindRuns(name);
  return found.size() == 1 ? found[0] : RunInTree(data_, nullptr, std::string(name));
}

std::vector<RunInTree> RunTree::FindRuns(std::string_view name) const {
  std::vector<RunInTree> found;
  for (const RunRecord& run : data_->runs) {
    if (run.DisplayName() == name) found.push_back(RunInTree(data_, &run, std::string(name)));
  }
  return found;
}

std::vector<RunInTree> RunTree::Roots() const {
  std::vector<RunInTree> roots;
  for (const RunRecord* run : data_->ChildrenOf(nullptr)) {
    roots.push_back(RunInTree(data_, run, std::string(run->DisplayName())));
  }
  return roots;
}

std::string RunTree::ToString() const {
  std::string text;
  data_->Print(nullptr, 0, text);
  return text;
}

std::ostream& operator<<(std::ostream& out, const RunTree& tree) { return out << tree.ToString(); }

}  // namespace testing
}  // namespace v0
}  // namespace weft
