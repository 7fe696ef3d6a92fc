// SPDX-License-Identifier: Apache-2.0
//
// What the context store costs. Prints the CPU time of each operation and its ratio to a baseline
// that is measured by the same program: the subjects take turns, round by round, and the median of
// the rounds is shown.
#include <time.h>

#include <algorithm>
#include <array>
#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <semaphore>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>
#include <boost/fiber/algo/round_robin.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/fss.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/fiber/pooled_fixedsize_stack.hpp>

#include <weft/async/internal/queue_tag.h>
#include <weft/context/bind.h>
#include <weft/context/context.h>
#include <weft/context/context_scope.h>
#include <weft/context/coroutine.h>
#include <weft/context/execution_context.h>
#include <weft/context/inheriting.h>
#include <weft/context/spawn.h>

namespace {

constinit thread_local std::uint64_t allocations_here = 0;

}  // namespace

void* operator new(std::size_t size) {
  ++allocations_here;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

constexpr int kRounds = 15;

struct RunInfo {
  char text[48];
};
constexpr weft::ContextKey<RunInfo> kRunKey{weft::ContextSlot::kRun};
constexpr weft::ContextKey<int> kChainKey;

// Of all threads: some subjects have two.
double CpuNanoseconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

template <typename T>
void Keep(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

constinit thread_local void* baseline = nullptr;
[[gnu::noinline]] void* ReadThreadLocal() {
  asm volatile("");
  return baseline;
}
[[gnu::noinline]] void EmptyFunction() { asm volatile(""); }

weft::Context Sample() { return weft::Context().With(kChainKey, 1).With(kRunKey, RunInfo{}); }

template <typename Body>
auto Repeat(Body body) {
  return [body](int repetitions) {
    const weft::Context context = Sample();
    weft::ContextScope scope(context);
    for (int i = 0; i < repetitions; ++i) body(context);
  };
}

// What other libraries keep such a value in.
boost::fibers::fiber_specific_ptr<int>& FiberSpecific() {
  static auto* const pointer = new boost::fibers::fiber_specific_ptr<int>();
  return *pointer;
}
void ReadFiberSpecific(int repetitions) {
  FiberSpecific().reset(new int(0));
  for (int i = 0; i < repetitions; ++i) Keep(FiberSpecific().get());
}

// Runs a subject inside a fiber.
template <typename Body>
auto InFiber(Body body) {
  return [body](int repetitions) { boost::fibers::fiber(body, repetitions).join(); };
}

boost::fibers::pooled_fixedsize_stack& Stacks() {
  static boost::fibers::pooled_fixedsize_stack stacks(64 * 1024);
  return stacks;
}

const auto read_thread_local = [](const weft::Context&) { Keep(ReadThreadLocal()); };
const auto read = [](const weft::Context&) { Keep(weft::Context::View()); };
const auto find_slot = [](const weft::Context&) { Keep(weft::Context::View().Find(kRunKey)); };
const auto find_chain = [](const weft::Context&) { Keep(weft::Context::View().Find(kChainKey)); };
const auto copy = [](const weft::Context& context) { Keep(weft::Context(context)); };
const auto copy_current = [](const weft::Context&) { Keep(weft::Context::Current()); };
const auto open_close = [](const weft::Context&) {
  weft::ContextScope scope{weft::Context()};
  Keep(&scope);
};
const auto open_close_copy = [](const weft::Context& context) {
  weft::ContextScope scope(context);
  Keep(&scope);
};
const auto call = [](const weft::Context&) { EmptyFunction(); };
const auto bind_and_call = [](const weft::Context&) { weft::Bind(EmptyFunction)(); };
void CallBound(int repetitions) {
  const weft::ContextScope scope(Sample());
  auto bound = weft::Bind(Sample(), EmptyFunction);
  for (int i = 0; i < repetitions; ++i) bound();
}
const auto new_delete = [](const weft::Context&) {
  void* const memory = ::operator new(sizeof(RunInfo));
  Keep(memory);
  ::operator delete(memory);
};
const auto derive = [](const weft::Context& context) { Keep(context.With(kRunKey, RunInfo{})); };
const auto raw_fiber = [](const weft::Context&) {
  boost::fibers::fiber(boost::fibers::launch::post, std::allocator_arg, Stacks(), EmptyFunction)
      .join();
};
const auto spawn = [](const weft::Context&) {
  weft::Spawn(boost::fibers::launch::post, std::allocator_arg, Stacks(), EmptyFunction).join();
};

// Two fibers that take turns, under a scheduler of their own; its cost for each switch.
template <typename Algorithm>
auto Switch() {
  return [](int repetitions) {
    boost::fibers::use_scheduling_algorithm<Algorithm>();
    const auto yield = [repetitions] {
      for (int i = 0; i < repetitions / 2; ++i) boost::this_fiber::yield();
    };
    boost::fibers::fiber first(yield);
    boost::fibers::fiber second(yield);
    first.join();
    second.join();
  };
}
using RoundRobin = boost::fibers::algo::round_robin;

// So many tags at a time that they go through the list that threads share, as when one thread makes
// them and another one polls.
void WrapAndUnwrap(int repetitions) {
  const weft::Context context = Sample();
  const weft::ContextScope scope(context);
  std::array<void*, 512> tags{};
  for (int done = 0; done < repetitions; done += static_cast<int>(tags.size())) {
    for (void*& tag : tags) tag = weft::internal::MakeTag(weft::Context::Current(), nullptr);
    for (void* tag : tags) {
      void* operation = nullptr;
      weft::Context of_tag;
      weft::internal::TakeTag(tag, true, &operation, &of_tag);
      const weft::ContextScope event(std::move(of_tag));
      Keep(&event);
    }
  }
}
// One thread wraps and another one unwraps, as with pollers of their own. Batches go over, so that
// the threads meet seldom; each item is the work of one of many calls.
template <typename Item, typename Wrap, typename Unwrap>
auto HandOver(Wrap wrap, Unwrap unwrap) {
  return [wrap, unwrap](int repetitions) {
    constexpr int kBatch = 1024;
    std::array<weft::Context, 64> contexts;
    for (auto& context : contexts) context = Sample();
    std::array<std::array<Item, kBatch>, 2> batches;
    std::counting_semaphore<2> empty(2);
    std::counting_semaphore<2> full(0);
    const int count = repetitions / kBatch;
    const std::jthread poller([&] {
      for (int i = 0; i < count; ++i) {
        full.acquire();
        for (Item& item : batches[i % 2]) unwrap(item);
        empty.release();
      }
    });
    for (int i = 0; i < count; ++i) {
      empty.acquire();
      std::size_t next = 0;
      for (Item& item : batches[i % 2]) item = wrap(contexts[next++ % contexts.size()]);
      full.release();
    }
  };
}
const auto hand_over = HandOver<weft::Context>([](const weft::Context& context) { return context; },
                                               [](weft::Context& item) {
                                                 const weft::ContextScope event(std::move(item));
                                                 Keep(&event);
                                               });
const auto hand_over_tag = HandOver<void*>(
    [](const weft::Context& context) { return weft::internal::MakeTag(context, nullptr); },
    [](void* tag) {
      void* operation = nullptr;
      weft::Context context;
      weft::internal::TakeTag(tag, true, &operation, &context);
      const weft::ContextScope event(std::move(context));
      Keep(&event);
    });
const auto copy_and_scope = [](const weft::Context&) {
  const weft::ContextScope scope(weft::Context::Current());
  Keep(&scope);
};

// A coroutine that runs when it is resumed.
template <template <typename> class Base>
struct Coroutine {
  struct promise_type : Base<promise_type> {
    Coroutine get_return_object() noexcept {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    auto initial_suspend() noexcept { return this->Initially(std::suspend_always()); }
    auto final_suspend() noexcept { return this->Finally(std::suspend_always()); }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::abort(); }
  };
  std::coroutine_handle<promise_type> handle;
};
template <typename>
struct Bare {
  template <typename Awaiter>
  Awaiter Initially(Awaiter awaiter) noexcept {
    return awaiter;
  }
  template <typename Awaiter>
  Awaiter Finally(Awaiter awaiter) noexcept {
    return awaiter;
  }
};

template <template <typename> class Base, typename Awaiter>
Coroutine<Base> Await(int times) {
  for (int i = 0; i < times; ++i) co_await Awaiter();
}
template <template <typename> class Base, typename Awaiter>
void RunCoroutine(int times) {
  const weft::ContextScope scope(Sample());
  const auto handle = Await<Base, Awaiter>(times).handle;
  while (!handle.done()) handle.resume();
  handle.destroy();
}
template <template <typename> class Base>
void MakeCoroutine(const weft::Context&) {
  const auto handle = Await<Base, std::suspend_never>(1).handle;
  handle.resume();
  handle.destroy();
}

// To a coroutine with a stack of its own and back, with a read on each side.
template <typename Stack>
auto SwitchStacks(void (*read_current)()) {
  return [read_current](int repetitions) {
    namespace ctx = boost::context;
    const weft::ContextScope scope(Sample());
    bool done = false;
    Stack stack{ctx::fixedsize_stack()};
    ctx::fiber fiber(std::allocator_arg, stack, [&](ctx::fiber&& caller) {
      for (; !done; caller = std::move(caller).resume()) read_current();
      return std::move(caller);
    });
    for (int i = 0; i < repetitions; ++i) {
      fiber = std::move(fiber).resume();
      read_current();
    }
    done = true;
    fiber = std::move(fiber).resume();
  };
}
using RegisteredStack = weft::ExecutionContextStack<boost::context::fixedsize_stack>;

struct Subject {
  const char* name;
  int repetitions;
  std::function<void(int)> run;
  const char* baseline = nullptr;  // name of the subject to compare with
  const char* target = "";
  std::vector<double> rounds = {};
  std::uint64_t allocations = 0;  // of all rounds after the first

  void Measure(bool count) {
    const std::uint64_t allocated = allocations_here;
    const double start = CpuNanoseconds();
    run(repetitions);
    rounds.push_back((CpuNanoseconds() - start) / repetitions);
    if (count) allocations += allocations_here - allocated;
  }
  double Median() {
    std::nth_element(rounds.begin(), rounds.begin() + kRounds / 2, rounds.end());
    return rounds[kRounds / 2];
  }
};

constexpr const char* kThreadLocal = "thread_local, read out of line";
constexpr const char* kCall = "call of an empty function";
constexpr const char* kNewDelete = "operator new and delete";
constexpr const char* kCopyAndScope = "copy the current, open a scope";
constexpr const char* kHandOver = "hand one to a thread, scope there";
constexpr const char* kSwitch = "switch to another fiber";
constexpr const char* kSuspend = "coroutine, suspend and resume";
constexpr const char* kReady = "coroutine, await what is ready";
constexpr const char* kMake = "coroutine, make, run and destroy";
constexpr const char* kStacks = "other stack and back, 2 reads";
constexpr const char* kRawFiber = "boost fiber, start and join";
constexpr int kMany = 400'000;
constexpr int kSome = 100'000;
constexpr int kFew = 10'000;

std::vector<Subject> Subjects() {
  return {
      {kThreadLocal, kMany, Repeat(read_thread_local)},
      {"read the current context, thread", kMany, Repeat(read), kThreadLocal, "<= 2 x"},
      {"read the current context, fiber", kMany, InFiber(Repeat(read)), kThreadLocal, "<= 2 x"},
      {"fiber_specific_ptr, read in a fiber", kMany, InFiber(ReadFiberSpecific), kThreadLocal},
      {"find a value with a slot", kMany, Repeat(find_slot), kThreadLocal},
      {"find a value along the chain", kMany, Repeat(find_chain), kThreadLocal},
      {"copy the current context", kMany, Repeat(copy_current), kThreadLocal},
      {"open and close a scope, thread", kMany, Repeat(open_close), kThreadLocal,
       "<= 12 ns, no new"},
      {"open and close a scope, fiber", kMany, InFiber(Repeat(open_close)), kThreadLocal,
       "<= 12 ns, no new"},
      {"copy a context", kMany, Repeat(copy), kThreadLocal},
      {"open a scope with a copy, close it", kMany, Repeat(open_close_copy), kThreadLocal,
       "no new"},
      {kCall, kMany, Repeat(call)},
      {"bind and call it", kMany, Repeat(bind_and_call), kCall, "<= 20 ns"},
      {"call what was bound before", kMany, CallBound, kCall, "<= 20 ns"},
      {kNewDelete, kSome, Repeat(new_delete)},
      {"derive a context", kSome, Repeat(derive), kNewDelete, "<= 60 ns"},
      {kRawFiber, kFew, Repeat(raw_fiber)},
      {"spawn with the context and join", kFew, Repeat(spawn), kRawFiber, "<= 250 ns more"},
      {kCopyAndScope, kMany, Repeat(copy_and_scope)},
      {"the same through a queue's tag", kMany, WrapAndUnwrap, kCopyAndScope, "<= 5 ns more"},
      {kHandOver, kMany, hand_over},
      {"hand a queue's tag to a thread", kMany, hand_over_tag, kHandOver, "<= 5 ns more"},
      {kSwitch, kSome, Switch<RoundRobin>()},
      {"switch, Inheriting", kSome, Switch<weft::Inheriting<RoundRobin>>(), kSwitch,
       "<= 60 ns more"},
      {kSuspend, kMany, RunCoroutine<Bare, std::suspend_always>},
      {"the same with CoroutineContext", kMany,
       RunCoroutine<weft::CoroutineContext, std::suspend_always>, kSuspend},
      {kReady, kMany, RunCoroutine<Bare, std::suspend_never>},
      {"what is ready, CoroutineContext", kMany,
       RunCoroutine<weft::CoroutineContext, std::suspend_never>, kReady},
      {kMake, kSome, Repeat(MakeCoroutine<Bare>)},
      {"make one, CoroutineContext", kSome, Repeat(MakeCoroutine<weft::CoroutineContext>), kMake},
      {kStacks, kSome,
       SwitchStacks<boost::context::fixedsize_stack>([] { Keep(ReadThreadLocal()); })},
      {"registered stack and back, 2 reads", kSome,
       SwitchStacks<RegisteredStack>([] { Keep(weft::Context::View()); }), kStacks},
  };
}

}  // namespace

int main() {
  std::vector<Subject> subjects = Subjects();
  for (Subject& subject : subjects) subject.Measure(false);  // warm up: slots, stacks, scheduler
  for (Subject& subject : subjects) subject.rounds.clear();
  for (int round = 0; round < kRounds; ++round) {
    for (Subject& subject : subjects) subject.Measure(true);
  }

  std::map<std::string_view, double> medians;
  for (Subject& subject : subjects) medians[subject.name] = subject.Median();
  std::printf("%-36s %9s %8s %10s  %s\n", "", "ns", "ratio", "new each", "target");
  for (const Subject& subject : subjects) {
    const double median = medians[subject.name];
    const double ratio = median / medians[subject.baseline ? subject.baseline : subject.name];
    // What a round needs around its loop is not the operation's.
    const auto per_operation =
        subject.allocations / (static_cast<std::uint64_t>(kRounds) * subject.repetitions);
    std::printf("%-36s %9.2f %8.2f %10llu  %s\n", subject.name, median, ratio,
                static_cast<unsigned long long>(per_operation), subject.target);
  }
  return 0;
}
