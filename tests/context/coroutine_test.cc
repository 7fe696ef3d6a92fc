// SPDX-License-Identifier: Apache-2.0
#include <weft/context/coroutine.h>

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <weft/context/context_stats.h>

#include "coroutine_task.h"
#include "counted_id.h"

namespace weft {
namespace {

using testing::CountedId;
using testing::CurrentId;
using testing::Derive;
using testing::Make;
using testing::PlainTask;
using testing::ReadyQueue;
using testing::Task;
using testing::ThreadNumber;

static_assert(!std::is_copy_constructible_v<CoroutineScope>);
static_assert(std::is_nothrow_default_constructible_v<CoroutineScope>);

// What no test but those of misuse may change.
class CoroutineTest : public ::testing::Test {
 protected:
  void TearDown() override {
    const ContextStats now = ContextStats::Read();
    EXPECT_EQ(now.wrong_stack, before_.wrong_stack);
    EXPECT_EQ(now.out_of_order, before_.out_of_order);
    EXPECT_EQ(now.stale, before_.stale);
    EXPECT_EQ(now.slots_live, before_.slots_live);
    EXPECT_EQ(CountedId::live(), 0);
    EXPECT_EQ(CurrentId(), 0);
  }

  const ContextStats before_ = ContextStats::Read();
};

// Runs `function` on another thread, where `id` is current; returns what is current there later.
std::uint64_t OnThread(std::uint64_t id, const std::function<void()>& function) {
  std::uint64_t afterwards = 99;
  std::jthread([&] {
    ContextScope own(Make(id));
    function();
    afterwards = CurrentId();
  }).join();
  return afterwards;
}

Task See(std::uint64_t* seen) {
  *seen = CurrentId();
  co_return 0;
}

TEST_F(CoroutineTest, InheritsTheContextOfItsCallerNotOfWhoResumesIt) {
  std::uint64_t seen = 99;
  std::optional<Task> task;
  {
    ContextScope caller(Make(1));
    task.emplace(See(&seen));
  }
  ContextScope resumer(Make(2));
  task->Resume();
  EXPECT_EQ(seen, 1);
  EXPECT_EQ(CurrentId(), 2);
}

TEST_F(CoroutineTest, WithAnEmptyContextHidesThatOfWhoResumesIt) {
  std::uint64_t seen = 99;
  const Task task = See(&seen);
  ContextScope resumer(Make(2));
  task.Resume();
  EXPECT_EQ(seen, 0);
}

Task HopInScope(ReadyQueue& queue, std::vector<std::uint64_t>& seen) {
  {
    ContextScope scope(Make(7));
    seen.push_back(CurrentId());
    co_await queue.Hop();
    seen.push_back(CurrentId());
    {
      ContextScope inner(Derive(Context::Current(), 8));
      co_await queue.Hop();
      seen.push_back(CurrentId());
    }
    seen.push_back(CurrentId());
  }
  seen.push_back(CurrentId());
  co_return 0;
}

TEST_F(CoroutineTest, KeepsItsScopesOnWhateverThreadItGoesOn) {
  ReadyQueue queue;
  std::vector<std::uint64_t> seen;
  std::optional<Task> task;
  {
    ContextScope caller(Make(1));
    task.emplace(HopInScope(queue, seen));
  }
  task->Resume();
  EXPECT_EQ(CurrentId(), 0);
  EXPECT_EQ(OnThread(50, [&] { queue.Pop().resume(); }), 50);
  EXPECT_EQ(OnThread(60, [&] { queue.Pop().resume(); }), 60);
  EXPECT_TRUE(task->done());
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{7, 7, 8, 7, 1}));
}

// The same with a thread_local variable in the place of the store.
TEST_F(CoroutineTest, AThreadLocalVariableIsLeftBehindOnTheThread) {
  static thread_local std::uint64_t current = 0;
  struct Read {
    [[gnu::noinline]] static std::uint64_t& Current() {
      asm volatile("");
      return current;
    }
  };
  struct Scope {
    explicit Scope(std::uint64_t id) : previous(std::exchange(Read::Current(), id)) {}
    ~Scope() { Read::Current() = previous; }
    std::uint64_t previous;
  };
  ReadyQueue queue;
  std::uint64_t seen = 99;
  auto body = [](ReadyQueue& ready, std::uint64_t& result) -> PlainTask {
    Scope scope(7);
    co_await ready.Hop();
    result = Read::Current();
    co_return 0;
  };
  const PlainTask task = body(queue, seen);
  task.Resume();
  EXPECT_EQ(Read::Current(), 7);
  std::jthread([&] { queue.Pop().resume(); }).join();
  EXPECT_EQ(seen, 0);
  Read::Current() = 0;
}

Task Return(int value) { co_return value; }
Task Throw(ReadyQueue* queue) {
  ContextScope scope(Derive(Context::Current(), 9));
  if (queue != nullptr) co_await queue->Hop();
  throw std::runtime_error("lost");
}

TEST_F(CoroutineTest, ResultsAndExceptionsComeThroughAnAwait) {
  ReadyQueue queue;
  auto body = [&](std::vector<std::uint64_t>& seen) -> Task {
    ContextScope scope(Make(3));
    const int sum = co_await Return(40) + co_await Return(2);
    seen.push_back(CurrentId());
    for (ReadyQueue* ready : {static_cast<ReadyQueue*>(nullptr), &queue}) {
      try {
        co_await Throw(ready);
      } catch (const std::runtime_error&) {
        seen.push_back(CurrentId());
      }
    }
    co_return sum;
  };
  std::vector<std::uint64_t> seen;
  const Task task = body(seen);
  task.Resume();
  EXPECT_EQ(OnThread(50, [&] { queue.Pop().resume(); }), 50);
  EXPECT_EQ(task.result(), 42);
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{3, 3, 3}));
}

TEST_F(CoroutineTest, AChildInheritsWhereItIsCalledAndLeavesItsParentAlone) {
  auto child = [](std::vector<std::uint64_t>& seen) -> Task {
    seen.push_back(CurrentId());
    ContextScope scope(Derive(Context::Current(), 5));
    seen.push_back(CurrentId());
    co_return 0;
  };
  auto parent = [&](std::vector<std::uint64_t>& seen) -> Task {
    ContextScope scope(Make(4));
    co_await child(seen);
    seen.push_back(CurrentId());
    co_return 0;
  };
  std::vector<std::uint64_t> seen;
  const Task task = parent(seen);
  ContextScope resumer(Make(1));
  task.Resume();
  seen.push_back(CurrentId());
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{4, 5, 4, 1}));
}

// What an operation looks like that gRPC or anybody else completes.
struct Observed {
  bool ready = false;
  std::uint64_t at_ready = 99;
  std::uint64_t at_suspend = 99;
  std::uint64_t at_resume = 99;
};
template <typename Suspend>
struct Operation {
  bool await_ready() const {
    observed->at_ready = CurrentId();
    return observed->ready;
  }
  auto await_suspend(std::coroutine_handle<> coroutine) const {
    observed->at_suspend = CurrentId();
    return suspend(coroutine);
  }
  std::uint64_t await_resume() const { return observed->at_resume = CurrentId(); }

  Observed* observed;
  Suspend suspend;
};
template <typename Suspend>
Operation(Observed*, Suspend) -> Operation<Suspend>;

TEST_F(CoroutineTest, StartsAnOperationInItsOwnContextAndGoesOnInIt) {
  Observed observed;
  std::coroutine_handle<> waiting;
  auto body = [&]() -> Task {
    ContextScope scope(Make(6));
    const auto park = [&](std::coroutine_handle<> coroutine) { waiting = coroutine; };
    co_return static_cast<int>(co_await Operation{&observed, park});
  };
  const Task task = body();
  {
    ContextScope resumer(Make(1));
    task.Resume();
    EXPECT_EQ(CurrentId(), 1);
  }
  EXPECT_EQ(OnThread(50, waiting), 50);
  EXPECT_EQ(observed.at_ready, 6);
  EXPECT_EQ(observed.at_suspend, 6);
  EXPECT_EQ(observed.at_resume, 6);
  EXPECT_EQ(task.result(), 6);
}

TEST_F(CoroutineTest, GoesOnWhenAnOperationIsReadyOrDeclinesToSuspend) {
  Observed ready{.ready = true};
  Observed declined;
  Observed refused;
  Observed thrown;
  auto body = [&]() -> Task {
    ContextScope scope(Make(6));
    co_await Operation{&ready, [](std::coroutine_handle<>) {}};
    co_await Operation{&declined, [](std::coroutine_handle<>) { return false; }};
    co_await Operation{&refused, [](std::coroutine_handle<> own) { return own; }};
    try {
      co_await Operation{&thrown, [](std::coroutine_handle<>) -> bool { throw 1; }};
    } catch (int) {
      co_return static_cast<int>(CurrentId());
    }
    co_return 0;
  };
  const Task task = body();
  ContextScope resumer(Make(1));
  task.Resume();
  ASSERT_TRUE(task.done());
  EXPECT_EQ(CurrentId(), 1);
  EXPECT_EQ(ready.at_suspend, 99);
  EXPECT_EQ(ready.at_resume, 6);
  EXPECT_EQ(declined.at_suspend, 6);
  EXPECT_EQ(declined.at_resume, 6);
  EXPECT_EQ(refused.at_resume, 6);
  EXPECT_EQ(thrown.at_suspend, 6);
  EXPECT_EQ(task.result(), 6);
}

// g++ suspends for both before it resumes either.
TEST_F(CoroutineTest, AwaitsTwiceInOneExpression) {
  ReadyQueue queue;
  Observed first;
  Observed second;
  auto body = [&]() -> Task {
    ContextScope scope(Make(3));
    const auto park = [&](std::coroutine_handle<> coroutine) { queue.Push(coroutine); };
    const std::uint64_t sum = co_await Operation{&first, park} + co_await Operation{&second, park};
    co_return static_cast<int>(10 * sum + CurrentId());
  };
  const Task task = body();
  task.Resume();
  EXPECT_EQ(OnThread(50, [&] { queue.Pop().resume(); }), 50);
  EXPECT_EQ(OnThread(60, [&] { queue.Pop().resume(); }), 60);
  EXPECT_EQ(task.result(), 63);
  for (const Observed& observed : {first, second}) {
    EXPECT_EQ(observed.at_ready, 3);
    EXPECT_EQ(observed.at_suspend, 3);
  }
}

TEST_F(CoroutineTest, MayBeResumedWhileItIsStillSuspending) {
  Observed observed;
  auto body = [&]() -> Task {
    ContextScope scope(Make(6));
    co_await Operation{&observed, [](std::coroutine_handle<> coroutine) { coroutine.resume(); }};
    co_return static_cast<int>(CurrentId());
  };
  const Task task = body();
  ContextScope resumer(Make(1));
  task.Resume();
  EXPECT_EQ(task.result(), 6);
  EXPECT_EQ(CurrentId(), 1);
}

TEST_F(CoroutineTest, EndsAndIsDestroyedWhileItIsStillSuspending) {
  ReadyQueue queue;
  std::optional<Task> task;
  auto body = [&]() -> Task {
    ContextScope scope(Make(6));
    Observed observed;
    co_await Operation{&observed, [&](std::coroutine_handle<> coroutine) {
                         std::jthread([coroutine, &task] {
                           coroutine.resume();
                           task.reset();
                         }).join();
                         EXPECT_EQ(CurrentId(), 6);
                       }};
    co_return 0;
  };
  task.emplace(body());
  ContextScope resumer(Make(1));
  task->Resume();
  EXPECT_FALSE(task);
  EXPECT_EQ(CurrentId(), 1);
}

TEST_F(CoroutineTest, ResumedInsideAnotherLiesOverItAndLeavesItAlone) {
  ReadyQueue queue;
  std::vector<std::uint64_t> inner_seen;
  auto outer = [&](const Task& inner) -> Task {
    ContextScope scope(Make(2));
    inner.Resume();
    const std::uint64_t between = CurrentId();
    co_await queue.Hop();
    queue.Pop().resume();
    co_return static_cast<int>(10 * between + CurrentId());
  };
  const Task inner = HopInScope(queue, inner_seen);
  const Task task = outer(inner);
  task.Resume();
  // The inner one waits before the outer one in the queue.
  OnThread(50, [&] {
    const std::coroutine_handle<> first = queue.Pop();
    const std::coroutine_handle<> second = queue.Pop();
    first.resume();
    second.resume();
  });
  EXPECT_EQ(task.result(), 22);
  EXPECT_EQ(inner_seen, (std::vector<std::uint64_t>{7, 7, 8, 7, 0}));
}

TEST_F(CoroutineTest, DestroyedOnAnotherThreadWhileItWaitsLeavesNothing) {
  for (int round = 0; round < 200; ++round) {
    ReadyQueue queue;
    std::vector<std::uint64_t> seen;
    std::optional<Task> task;
    {
      ContextScope caller(Make(1));
      task.emplace(HopInScope(queue, seen));
    }
    task->Resume();
    if (round % 2 == 1) OnThread(50, [&] { queue.Pop().resume(); });
    EXPECT_EQ(OnThread(60, [&] { task.reset(); }), 60);
    ASSERT_EQ(CountedId::live(), 0);
  }
}

TEST_F(CoroutineTest, NeverStartedItHoldsTheContextUntilItIsDestroyed) {
  std::uint64_t seen = 99;
  {
    std::optional<Task> task;
    {
      ContextScope caller(Make(1));
      task.emplace(See(&seen));
    }
    EXPECT_EQ(CountedId::live(), 1);
  }
  EXPECT_EQ(seen, 99);
}

TEST_F(CoroutineTest, LetsGoOfItsContextAtItsEnd) {
  std::uint64_t seen = 99;
  std::optional<Task> task;
  {
    ContextScope caller(Make(1));
    task.emplace(See(&seen));
  }
  task->Resume();
  EXPECT_EQ(CountedId::live(), 0);
}

// A coroutine that runs at once and deletes itself: no final suspension.
struct Detached {
  struct promise_type : CoroutineContext<promise_type> {
    Detached get_return_object() noexcept { return {}; }
    auto initial_suspend() noexcept { return Initially(std::suspend_never()); }
    auto final_suspend() noexcept { return Finally(std::suspend_never()); }
    void return_void() noexcept {}
    void unhandled_exception() {
      Leave();
      throw;
    }
  };
};

TEST_F(CoroutineTest, MayRunAtOnceAndDeleteItself) {
  ReadyQueue queue;
  std::vector<std::uint64_t> seen;
  auto body = [](ReadyQueue& ready, std::vector<std::uint64_t>& all) -> Detached {
    ContextScope scope(Derive(Context::Current(), 5));
    co_await ready.Hop();
    all.push_back(CurrentId());
  };
  ContextScope caller(Make(1));
  body(queue, seen);
  EXPECT_EQ(CurrentId(), 1);
  OnThread(50, [&] { queue.Pop().resume(); });
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{5}));
}

TEST_F(CoroutineTest, MayLetAnExceptionOutToWhoResumesIt) {
  auto body = []() -> Detached {
    ContextScope scope(Make(5));
    throw 1;
    co_return;
  };
  ContextScope caller(Make(1));
  try {
    body();
    FAIL();
  } catch (int) {
    EXPECT_EQ(CurrentId(), 1);
  }
}

// A generator: its co_yield does not pass await_transform.
struct Generator {
  struct promise_type : CoroutineContext<promise_type> {
    Generator get_return_object() noexcept {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    auto initial_suspend() noexcept { return Initially(std::suspend_always()); }
    auto final_suspend() noexcept { return Finally(std::suspend_always()); }
    auto yield_value(std::uint64_t id) {
      value = id;
      return Keep(std::suspend_always());
    }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }

    std::uint64_t value = 0;
  };
  ~Generator() { handle.destroy(); }

  std::coroutine_handle<promise_type> handle;
};

TEST_F(CoroutineTest, AGeneratorKeepsItsScopesBetweenItsValues) {
  auto body = []() -> Generator {
    for (std::uint64_t id = 1; id < 4; ++id) {
      ContextScope scope(Make(id));
      co_yield CurrentId();
      co_yield CurrentId();
    }
  };
  const Generator generator = body();
  for (const std::uint64_t expected : {1, 1, 2, 2, 3, 3}) {
    EXPECT_EQ(OnThread(50, generator.handle), 50);
    EXPECT_EQ(generator.handle.promise().value, expected);
  }
  OnThread(50, generator.handle);
  EXPECT_TRUE(generator.handle.done());
}

// An awaitable that cannot be moved, and an awaiter of a free operator.
struct Fixed {
  explicit Fixed(int initial) : value(initial) {}
  Fixed(const Fixed&) = delete;
  int value;
};
auto operator co_await(const Fixed& fixed) {
  struct Awaiter : std::suspend_never {
    explicit Awaiter(int initial) : value(initial) {}
    int await_resume() const noexcept { return value; }
    int value;
  };
  return Awaiter(fixed.value);
}

TEST_F(CoroutineTest, AwaitsWhateverCanBeAwaited) {
  auto body = []() -> Task {
    Fixed named(1);
    int sum = co_await named;
    sum += co_await Fixed(20);
    const Task child = Return(300);
    sum += co_await child;
    CoroutineScope inner;
    sum += co_await inner.Keep(Fixed(4000));
    const Task other = Return(50'000);
    sum += co_await inner.Keep(other);
    co_return sum;
  };
  const Task task = body();
  task.Resume();
  EXPECT_EQ(task.result(), 54'321);
}

PlainTask HopInForeignCoroutine(ReadyQueue& queue, std::vector<std::uint64_t>& seen) {
  CoroutineScope coroutine;
  seen.push_back(CurrentId());
  {
    ContextScope scope(Make(7));
    co_await coroutine.Keep(queue.Hop());
    seen.push_back(CurrentId());
    try {
      co_await coroutine.Keep(Throw(&queue));
    } catch (const std::runtime_error&) {
      seen.push_back(CurrentId());
    }
  }
  seen.push_back(CurrentId());
  co_return 0;
}

TEST_F(CoroutineTest, AScopeKeepsTheContextOfACoroutineWithAForeignPromise) {
  ReadyQueue queue;
  std::vector<std::uint64_t> seen;
  const PlainTask task = HopInForeignCoroutine(queue, seen);
  {
    ContextScope first_resumer(Make(1));
    task.Resume();
    EXPECT_EQ(CurrentId(), 1);
  }
  EXPECT_EQ(OnThread(50, [&] { queue.Pop().resume(); }), 50);
  EXPECT_EQ(OnThread(60, [&] { queue.Pop().resume(); }), 60);
  EXPECT_TRUE(task.done());
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{1, 7, 7, 1}));
}

TEST_F(CoroutineTest, AForeignCoroutineDestroyedWhileItWaitsLeavesNothing) {
  ReadyQueue queue;
  std::vector<std::uint64_t> seen;
  std::optional<PlainTask> task(HopInForeignCoroutine(queue, seen));
  task->Resume();
  EXPECT_EQ(OnThread(50, [&] { task.reset(); }), 50);
}

// Coroutines that wait in every way on threads that take whichever is ready, and check after each
// step that they see their own context. The threads check that they see theirs.
struct StressResult {
  long checks = 0;
  long wrong = 0;
  long migrations = 0;
};

template <typename Store>
class CoroutineStress {
 public:
  static StressResult Run(int threads, int coroutines, int rounds) {
    CoroutineStress stress;
    std::latch ended(coroutines);
    std::vector<typename Store::Task> tasks;
    for (int i = 0; i < coroutines; ++i) {
      tasks.push_back(stress.Root(static_cast<std::uint32_t>(i + 1), rounds, ended));
      stress.queue_.Push(tasks.back().handle());
    }
    std::vector<std::jthread> workers;
    for (int i = 0; i < threads; ++i) workers.emplace_back([&] { stress.Work(); });
    ended.wait();
    stress.queue_.Close();
    workers.clear();
    return {stress.checks_, stress.wrong_, stress.migrations_};
  }

 private:
  using Random = std::minstd_rand;
  using Task = typename Store::Task;

  void Work() {
    const std::uint64_t id = next_id_++;
    typename Store::Scope own(id);
    while (const std::coroutine_handle<> ready = queue_.Pop()) {
      ready.resume();
      Check(id);
    }
  }

  Task Root(std::uint32_t seed, int rounds, std::latch& ended) {
    Random random(seed);
    // On a busy machine one thread may do all of it at first.
    for (int round = 0; round < rounds || (migrations_ == 0 && round < 1000 * rounds); ++round) {
      Check(0);
      const std::uint64_t id = next_id_++;
      typename Store::Scope scope(id);
      co_await Step(id, 0, random);
      Check(id);
    }
    ended.count_down();
    co_return 0;
  }

  Task Step(std::uint64_t parent, int depth, Random& random) {
    Check(parent);
    const std::uint64_t id = next_id_++;
    typename Store::Scope scope(id);
    const long thread = ThreadNumber();
    switch (random() % 6) {
      case 0:
      case 1:
        co_await queue_.Hop();
        break;
      case 2:
        co_await std::suspend_never();
        break;
      case 3:
        if (depth < 3) co_await Step(id, depth + 1, random);
        break;
      case 4: {
        typename Store::Scope inner(id + 1'000'000'000);
        co_await queue_.Hop();
        Check(id + 1'000'000'000);
        break;
      }
      default:
        try {
          co_await Fail(id);
        } catch (std::uint64_t thrown) {
          wrong_ += thrown != id;
        }
    }
    Check(id);
    migrations_ += ThreadNumber() != thread;
    co_return 0;
  }

  Task Fail(std::uint64_t id) {
    typename Store::Scope scope(next_id_++);
    co_await queue_.Hop();
    throw id;
  }

  void Check(std::uint64_t expected) {
    ++checks_;
    wrong_ += Store::Current() != expected;
  }

  ReadyQueue queue_;
  std::atomic<std::uint64_t> next_id_{1};
  std::atomic<long> checks_{0};
  std::atomic<long> wrong_{0};
  std::atomic<long> migrations_{0};
};

TEST_F(CoroutineTest, EachSeesItsOwnContextOnEveryThread) {
  const StressResult result = CoroutineStress<testing::KeptStore>::Run(4, 64, 200);
  EXPECT_EQ(result.wrong, 0);
  EXPECT_GT(result.checks, 64 * 200 * 3);
  EXPECT_GT(result.migrations, 0);
}

TEST_F(CoroutineTest, WithAThreadLocalVariableTheySeeThoseOfOthers) {
  const StressResult result = CoroutineStress<testing::LeftStore>::Run(4, 64, 20);
  EXPECT_GT(result.wrong, 0);
  EXPECT_GT(result.migrations, 0);
}

}  // namespace
}  // namespace weft
