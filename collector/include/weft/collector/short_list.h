// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <stdexcept>
#include <utility>
#include <vector>

namespace weft::collector {

/// A vector that is nearly always short: up to `kFew` elements lie in the list itself.
///
/// For members of what is made by the hundred and goes much later, often in another thread: there
/// an allocation for each costs more than what it holds. References to elements last until the
/// list grows, or moves.
///
/// Cost: the room of `kFew` elements, which are default-constructed, and no allocation for so many.
template <typename T, std::size_t kFew>
class ShortList {
 public:
  using value_type = T;
  using iterator = T*;
  using const_iterator = const T*;

  ShortList() = default;
  ShortList(std::initializer_list<T> elements) {
    for (const T& element : elements) push_back(element);
  }
  ShortList(const ShortList&) = default;
  ShortList(ShortList&& other) noexcept { *this = std::move(other); }
  ShortList& operator=(const ShortList&) = default;
  ShortList& operator=(ShortList&& other) noexcept {
    std::move(other.few_.data(), other.few_.data() + other.few_size_, few_.data());
    few_size_ = std::exchange(other.few_size_, 0);
    many_ = std::exchange(other.many_, {});
    return *this;
  }
  ~ShortList() = default;

  T* data() noexcept { return many_.empty() ? few_.data() : many_.data(); }
  const T* data() const noexcept { return many_.empty() ? few_.data() : many_.data(); }
  std::size_t size() const noexcept { return many_.empty() ? few_size_ : many_.size(); }
  bool empty() const noexcept { return size() == 0; }
  T* begin() noexcept { return data(); }
  T* end() noexcept { return data() + size(); }
  const T* begin() const noexcept { return data(); }
  const T* end() const noexcept { return data() + size(); }
  T& operator[](std::size_t i) noexcept { return data()[i]; }
  const T& operator[](std::size_t i) const noexcept { return data()[i]; }
  const T& at(std::size_t i) const {
    return i < size() ? (*this)[i] : throw std::out_of_range("ShortList");
  }
  T& front() noexcept { return *begin(); }
  const T& front() const noexcept { return *begin(); }
  T& back() noexcept { return *(end() - 1); }
  const T& back() const noexcept { return *(end() - 1); }

  template <typename... Args>
  T& emplace_back(Args&&... args) {
    if (many_.empty() && few_size_ < kFew)
      return few_[few_size_++] = T{std::forward<Args>(args)...};
    if (many_.empty()) Spill(kFew + 1);
    return many_.emplace_back(T{std::forward<Args>(args)...});
  }
  void push_back(T element) { emplace_back(std::move(element)); }

  /// New elements are default-constructed.
  void resize(std::size_t size) {
    if (many_.empty() && size > kFew) Spill(size);
    if (!many_.empty() || size > kFew) return many_.resize(size);
    const auto [first, last] = std::minmax(size, few_size_);
    for (std::size_t i = first; i < last; ++i) few_[i] = T{};
    few_size_ = size;
  }

  void erase(T* first, T* last) {
    if (first == last) return;  // an element must not be moved to itself
    T* const kept_end = std::move(last, end(), first);
    resize(static_cast<std::size_t>(kept_end - begin()));
  }

  friend bool operator==(const ShortList& a, const ShortList& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  // Room for as many as will come next; all elements lie in one place.
  void Spill(std::size_t size) {
    many_.reserve(std::max(size, 2 * kFew));
    many_.assign(std::make_move_iterator(few_.begin()),
                 std::make_move_iterator(few_.begin() + static_cast<std::ptrdiff_t>(few_size_)));
    few_size_ = 0;
  }

  std::array<T, kFew> few_{};
  std::size_t few_size_ = 0;
  std::vector<T> many_;  ///< All elements, if there are more.
};

}  // namespace weft::collector
