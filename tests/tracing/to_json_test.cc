// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/to_json.h>

#include <array>
#include <deque>
#include <limits>
#include <list>
#include <map>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include <absl/strings/string_view.h>
#include <google/protobuf/struct.pb.h>
#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

namespace weft {
namespace {

enum class Colour { kRed = 3 };

struct Point {
  int x = 1;
};
[[maybe_unused]] void tag_invoke(boost::json::value_from_tag, Json& json, const Point& point) {
  json = JsonObject{{"x", point.x}};
}

struct Plain {};

TEST(ToJsonTest, ShowsNumbers) {
  EXPECT_EQ(ToJson(true), Json(true));
  EXPECT_EQ(ToJson(-3), Json(-3));
  EXPECT_EQ(ToJson(std::uint8_t{200}), Json(200));
  EXPECT_EQ(ToJson(std::numeric_limits<std::int64_t>::min()),
            Json(std::numeric_limits<std::int64_t>::min()));
  EXPECT_EQ(ToJson(std::numeric_limits<std::uint64_t>::max()),
            Json(std::numeric_limits<std::uint64_t>::max()));
  EXPECT_EQ(ToJson(0.5f), Json(0.5));
  EXPECT_EQ(ToJson(Colour::kRed), Json(3));
}

TEST(ToJsonTest, ShowsText) {
  const char* const none = nullptr;
  EXPECT_EQ(ToJson("literal"), Json("literal"));
  EXPECT_EQ(ToJson(std::string("string")), Json("string"));
  EXPECT_EQ(ToJson(std::string_view("view")), Json("view"));
  EXPECT_EQ(ToJson(absl::string_view("absl")), Json("absl"));
  EXPECT_EQ(ToJson(std::vector<char>{'a', 'b'}), Json("ab"));
  EXPECT_EQ(ToJson('c'), Json("c"));
  EXPECT_EQ(ToJson(none), Json(nullptr));
}

TEST(ToJsonTest, ShowsJsonAsItIs) {
  EXPECT_EQ(ToJson(Json{1, "a"}), (Json{1, "a"}));
  EXPECT_EQ(ToJson(JsonObject{{"a", 1}}), (Json{{"a", 1}}));
}

TEST(ToJsonTest, ShowsTimes) {
  EXPECT_EQ(ToJson(std::chrono::milliseconds(1500)), Json(1.5));
  EXPECT_EQ(ToJson(std::chrono::system_clock::time_point(std::chrono::microseconds(1'500'000))),
            Json("1970-01-01T00:00:01.500000Z"));
  EXPECT_EQ(ToJson(std::chrono::sys_days(std::chrono::days(1))),
            Json("1970-01-02T00:00:00.000000Z"));
}

TEST(ToJsonTest, ShowsWhatMayBeAbsent) {
  EXPECT_EQ(ToJson(std::optional<int>(1)), Json(1));
  EXPECT_EQ(ToJson(std::optional<int>()), Json(nullptr));
  EXPECT_EQ(ToJson(std::make_unique<int>(2)), Json(2));
  EXPECT_EQ(ToJson(std::shared_ptr<int>()), Json(nullptr));
  EXPECT_EQ(ToJson(nullptr), Json(nullptr));
  EXPECT_EQ(ToJson(std::variant<int, std::string>("v")), Json("v"));
  EXPECT_EQ(ToJson(std::variant<std::monostate>()), Json(nullptr));
}

TEST(ToJsonTest, ShowsContainers) {
  EXPECT_EQ(ToJson(std::vector<int>{1, 2}), (Json{1, 2}));
  EXPECT_EQ(ToJson(std::vector<bool>{true, false}), (Json{true, false}));
  EXPECT_EQ(ToJson(std::array<int, 2>{1, 2}), (Json{1, 2}));
  const int array[] = {1, 2};
  EXPECT_EQ(ToJson(array), (Json{1, 2}));
  EXPECT_EQ(ToJson(std::span<const int>(array)), (Json{1, 2}));
  EXPECT_EQ(ToJson(std::list<std::string>{"a"}), (Json(JsonArray{"a"})));
  EXPECT_EQ(ToJson(std::set<int>{2, 1}), (Json{1, 2}));
  EXPECT_EQ(ToJson(std::deque<int>()), Json(JsonArray()));
  EXPECT_EQ(ToJson(std::map<std::string, std::vector<int>>{{"a", {1}}}),
            (Json(JsonObject{{"a", JsonArray{1}}})));
  EXPECT_EQ(ToJson(std::unordered_map<int, bool>{{1, true}}), Json(JsonArray{JsonArray{1, true}}));
  EXPECT_EQ(ToJson(std::pair(1, "b")), (Json{1, "b"}));
  EXPECT_EQ(ToJson(std::tuple(1, 2.5, "c")), (Json{1, 2.5, "c"}));
}

TEST(ToJsonTest, ShowsStatuses) {
  EXPECT_EQ(ToJson(absl::NotFoundError("gone")),
            (Json{{"code", "NOT_FOUND"}, {"message", "gone"}}));
  EXPECT_EQ(ToJson(absl::StatusOr<int>(4)), Json(4));
  EXPECT_EQ(ToJson(absl::StatusOr<int>(absl::AbortedError("x"))),
            (Json{{"code", "ABORTED"}, {"message", "x"}}));
  EXPECT_EQ(ToJson(grpc::Status(grpc::StatusCode::INTERNAL, "y")),
            (Json{{"code", 13}, {"message", "y"}}));
}

TEST(ToJsonTest, ShowsNumbersOfMessagesAsTheyAre) {
  google::protobuf::Value number;
  number.set_number_value(0.48621806422806413);
  EXPECT_EQ(ToJson(number), Json(0.48621806422806413));
  google::protobuf::Value nested;
  for (int i = 0; i < 300; ++i) {
    google::protobuf::Value outer;
    outer.mutable_list_value()->add_values()->Swap(&nested);
    nested.Swap(&outer);
  }
  EXPECT_EQ(ToJson(nested), (Json{{"type", "google.protobuf.Value"}}));
}

TEST(ToJsonTest, LetsATypeSayItself) {
  EXPECT_EQ(ToJson(Point{7}), (Json{{"x", 7}}));
  EXPECT_EQ(ToJson(std::vector<Point>{{7}}), Json(JsonArray{JsonObject{{"x", 7}}}));
}

TEST(ToJsonTest, ShowsTheNameOfATypeThatSaysNothing) {
  EXPECT_EQ(ToJson(Plain()), (Json{{"type", "weft::(anonymous namespace)::Plain"}}));
  Plain plain;
  EXPECT_TRUE(ToJson(&plain).is_object());
  EXPECT_TRUE(ToJson([] {}).is_object());
}

}  // namespace
}  // namespace weft
