// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <exception>
#include <iterator>
#include <ranges>
#include <type_traits>
#include <utility>

#include <weft/context/context_scope.h>
#include <weft/tracing/run_stream.h>
#include <weft/tracing/to_json.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Marks what could not be shown: a conversion of the user's that throws must not end the call.
JsonObject Unshowable(const std::exception* error);

template <typename T>
Json ToJsonOrSo(const T& value) noexcept {
  try {
    return ToJson(value);
  } catch (const std::exception& error) {
    return Unshowable(&error);
  } catch (...) {
    return Unshowable(nullptr);
  }
}

/// A range that can be read once only: what a generator returns. It is made while it is read.
template <typename Range>
inline constexpr bool kIsGenerator = [] {
  if constexpr (std::is_object_v<Range> && std::ranges::input_range<Range>) {
    return !std::ranges::forward_range<Range> && std::move_constructible<Range>;
  } else {
    return false;
  }
}();

/// What a Traceable gives for a generator: the same elements, which become the outputs of the run.
/// The run is the current one while the generator works, and ends with it: after the last element,
/// with an exception, or when this is destroyed.
///
/// Threads: one at a time.
template <std::ranges::input_range Range>
class [[nodiscard]] TracedRange {
 public:
  TracedRange(Range range, Run run, typename RunStream<Json>::Reducer reducer)
      : range_(std::move(range)),
        run_(run.Ref()),
        context_(WithRun(Context::Current(), run)),
        stream_(std::move(run), std::move(reducer)) {}
  TracedRange(TracedRange&&) = default;
  TracedRange& operator=(TracedRange&&) = delete;

  class Iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = std::ranges::range_value_t<Range>;
    using difference_type = std::ptrdiff_t;

    Iterator(TracedRange* owner, std::ranges::iterator_t<Range> at)
        : owner_(owner), at_(std::move(at)) {}
    Iterator(Iterator&&) = default;
    Iterator& operator=(Iterator&&) = default;

    decltype(auto) operator*() const {
      return owner_->Work([this]() -> decltype(auto) {
        decltype(auto) element = *at_;
        if (!std::exchange(seen_, true)) owner_->Add(element);
        if constexpr (std::is_reference_v<decltype(element)>) {
          return static_cast<decltype(element)>(element);
        } else {
          return element;
        }
      });
    }
    Iterator& operator++() {
      owner_->Work([this] { ++at_; });
      seen_ = false;
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const {
      const bool at_end = at_ == std::ranges::end(owner_->range_);
      if (at_end) owner_->stream_.Finish();
      return at_end;
    }

   private:
    TracedRange* owner_;
    std::ranges::iterator_t<Range> at_;
    mutable bool seen_ = false;
  };

  /// Once.
  Iterator begin() {
    return {this, Work([this] { return std::ranges::begin(range_); })};
  }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  template <typename F>
  decltype(auto) Work(const F& work) {
    const ContextScope scope(context_);
    try {
      return work();
    } catch (...) {
      stream_.SetError(std::current_exception());
      stream_.Finish();
      throw;
    }
  }

  template <typename Element>
  void Add(const Element& element) {
    if (run_.recording()) stream_.Add(ToJsonOrSo(element));
  }

  Range range_;
  RunRef run_;
  Context context_;
  RunStream<Json> stream_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
