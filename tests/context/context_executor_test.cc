// SPDX-License-Identifier: Apache-2.0
#include <weft/context/context_executor.h>

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <future>
#include <vector>

#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>

#include "counted_id.h"

namespace weft {
namespace {

namespace asio = boost::asio;
using testing::CurrentId;
using testing::Make;

// Runs what it was given when it is told to.
class LatePool {
 public:
  template <typename Function>
  std::size_t submit(Function function) {
    tasks_.emplace_back(std::move(function));
    return tasks_.size();
  }
  void RunAll() {
    for (const auto& task : tasks_) task();
  }

 private:
  std::vector<std::function<void()>> tasks_;
};

TEST(ContextExecutorTest, EachFunctionRunsInTheContextOfItsSubmission) {
  LatePool own;
  const ContextExecutor<LatePool&> pool(own);
  std::vector<std::uint64_t> seen;
  const auto note = [&seen] { seen.push_back(CurrentId()); };
  {
    ContextScope scope(Make(1));
    EXPECT_EQ(pool.submit(note), 1);
  }
  {
    ContextScope scope(Make(2));
    EXPECT_EQ(pool.submit(note), 2);
  }
  pool.submit(note);
  ContextScope runner(Make(3));
  own.RunAll();
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{1, 2, 0}));
}

template <typename E>
concept CanPost = requires(E& executor) {
  executor.post([] {});
};
static_assert(!CanPost<ContextExecutor<LatePool&>>, "has what the pool has, and no more");

TEST(ContextExecutorTest, IsAnExecutorOfAsio) {
  asio::thread_pool pool(2);
  const auto strand = asio::make_strand(pool.get_executor());
  const ContextExecutor executor(strand);
  static_assert(asio::execution::is_executor<std::decay_t<decltype(executor)>>::value);
  std::promise<std::uint64_t> seen;
  std::promise<bool> on_strand;
  {
    ContextScope scope(Make(7));
    asio::post(executor, [&] {
      seen.set_value(CurrentId());
      on_strand.set_value(strand.running_in_this_thread());
    });
  }
  pool.join();
  EXPECT_EQ(seen.get_future().get(), 7);
  EXPECT_TRUE(on_strand.get_future().get());
  EXPECT_EQ(executor, ContextExecutor(strand));
}

}  // namespace
}  // namespace weft
