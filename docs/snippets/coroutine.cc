// SPDX-License-Identifier: Apache-2.0
// The code about coroutines in docs/context.md.
#include <coroutine>
#include <cstddef>
#include <exception>
#include <string>

#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/spawn.hpp>
#include <boost/context/fixedsize_stack.hpp>

#include <weft/context/context.h>
#include <weft/context/context_scope.h>
#include <weft/context/coroutine.h>
#include <weft/context/execution_context.h>

namespace agents {

struct Task {
  // snippet: promise
  struct promise_type : weft::CoroutineContext<promise_type> {
    auto initial_suspend() noexcept { return Initially(std::suspend_always()); }
    auto final_suspend() noexcept { return Finally(std::suspend_always()); }
    // end snippet
    Task get_return_object();
    void return_void();
    void unhandled_exception();
  };
};

struct ForeignTask {
  struct promise_type {
    std::suspend_always initial_suspend();
    std::suspend_always final_suspend() noexcept;
    ForeignTask get_return_object();
    void return_void();
    void unhandled_exception();
  };
};

struct Call : std::suspend_always {
  std::string await_resume();
};
Call Retrieve(const std::string& question);
void Rank(const std::string& documents);

// snippet: coroutine_scope
ForeignTask Ask(std::string question, weft::Context context) {
  weft::CoroutineScope coroutine;
  weft::ContextScope scope(context);
  std::string documents = co_await coroutine.Keep(Retrieve(question));  // a child of `context`
  Rank(documents);  // and here it is current again, on whatever thread this is
}
// end snippet

void Register(char* stack, std::size_t size, void (*run)(char*, std::size_t)) {
  // snippet: register
  auto registered = weft::RegisterExecutionContext(stack, stack + size);
  run(stack, size);
  // end snippet
}

void Spawn(boost::asio::io_context& io, void (*session)(boost::asio::yield_context)) {
  // snippet: asio_spawn
  weft::ExecutionContextStack stack{boost::context::fixedsize_stack()};
  boost::asio::spawn(io, std::allocator_arg, stack, session, boost::asio::detached);
  // end snippet
}

}  // namespace agents
