// SPDX-License-Identifier: Apache-2.0
#include <weft/context/asio.h>

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory_resource>
#include <optional>

#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>

#include "counted_id.h"

namespace weft {
namespace {

namespace asio = boost::asio;
using testing::CurrentId;
using testing::Make;

// A wrapper without an associator, as every wrapper that is not ours.
template <typename Function>
struct Opaque {
  Function function;
  void operator()() { function(); }
};

TEST(AsioTest, ABoundHandlerRunsInItsContextOnItsStrand) {
  asio::io_context io;
  const auto strand = asio::make_strand(io);
  std::optional<bool> on_strand;
  std::optional<bool> opaque_on_strand;
  std::uint64_t seen = 0;
  const auto handler = asio::bind_executor(strand, [&] {
    on_strand = strand.running_in_this_thread();
    seen = CurrentId();
  });
  auto check =
      asio::bind_executor(strand, [&] { opaque_on_strand = strand.running_in_this_thread(); });
  {
    ContextScope scope(Make(7));
    asio::post(io, Bind(handler));
    asio::post(io, Opaque<decltype(check)>{check});
  }
  io.run();
  EXPECT_EQ(on_strand, true);
  EXPECT_EQ(seen, 7);
  EXPECT_EQ(opaque_on_strand, false) << "the first line proves nothing";
}

TEST(AsioTest, ABoundHandlerKeepsItsAllocator) {
  std::array<std::byte, 4096> memory;
  std::pmr::monotonic_buffer_resource resource(memory.data(), memory.size(),
                                               std::pmr::null_memory_resource());
  const std::pmr::polymorphic_allocator<std::byte> allocator(&resource);
  const auto bound = Bind(asio::bind_allocator(allocator, [] {}));
  EXPECT_EQ(asio::get_associated_allocator(bound), allocator);
}

TEST(AsioTest, ABoundHandlerKeepsItsCancellationSlot) {
  asio::io_context io;
  asio::steady_timer timer(io, asio::steady_timer::time_point::max());
  asio::cancellation_signal signal;
  boost::system::error_code error;
  std::uint64_t seen = 0;
  {
    ContextScope scope(Make(7));
    timer.async_wait(Bind(
        asio::bind_cancellation_slot(signal.slot(), [&](const boost::system::error_code& result) {
          error = result;
          seen = CurrentId();
        })));
  }
  asio::post(io, [&] { signal.emit(asio::cancellation_type::all); });
  io.run();
  EXPECT_EQ(error, asio::error::operation_aborted);
  EXPECT_EQ(seen, 7);
}

TEST(AsioTest, AHandlerWithoutAnExecutorTakesThatOfTheOperation) {
  asio::io_context io;
  bool ran_in_io = false;
  asio::steady_timer timer(io, asio::steady_timer::time_point::min());
  timer.async_wait(Bind([&](const boost::system::error_code&) {
    ran_in_io = io.get_executor().running_in_this_thread();
  }));
  io.run();
  EXPECT_TRUE(ran_in_io);
}

}  // namespace
}  // namespace weft
