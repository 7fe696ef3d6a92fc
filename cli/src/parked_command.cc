// SPDX-License-Identifier: Apache-2.0
#include "parked_command.h"

#include <algorithm>
#include <array>
#include <ostream>
#include <string>
#include <vector>

#include <boost/json.hpp>

#include "http_client.h"
#include "table.h"
#include "text.h"

namespace weft::cli {
namespace {

namespace json = boost::json;

constexpr std::string_view kHelp =
    R"(Usage: weft parked ls [--destination D] [--limit N] [--json] [--endpoint URL]
       weft parked show ID [--endpoint URL]
       weft parked redrive ID...|--all [--destination D] [--endpoint URL]
       weft parked delete ID...|--all [--destination D] [--endpoint URL]

What a collector could not deliver, or could not take, and put aside.

  ls       lists it: those parked first come first
  show     all of one operation, as JSON
  redrive  sends operations again; each stays parked until the destination has it
  delete   throws operations away

  --destination D  only what is parked for it: langsmith=URL, otlp=..., file=PATH as they were
                   given, or `received` for invalid input
  --all            all that is parked
  --limit N        at most so many (default 100)
  --json           one JSON object per line
  --endpoint URL   the collector (default: WEFT_ENDPOINT, else http://127.0.0.1:1984)

A collector answers this to its own machine, or to a key that may administer it (WEFT_API_KEY).
)";

struct Wish {
  std::string action;
  std::vector<std::string> ids;
  std::string destination;
  std::string endpoint;
  std::size_t limit = 100;
  bool all = false;
  bool json = false;
};

absl::Status ParseWish(Args args, Wish* wish) {
  constexpr std::array<std::string_view, 3> kWithValue = {"--destination", "--endpoint", "--limit"};
  std::vector<std::string_view> named;
  std::vector<std::string_view> words;
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (!args[i].starts_with('-')) {
      words.push_back(args[i]);
      continue;
    }
    named.push_back(args[i]);
    const bool takes_next =
        std::find(kWithValue.begin(), kWithValue.end(), args[i]) != kWithValue.end();
    if (takes_next && i + 1 < args.size()) named.push_back(args[++i]);
  }
  const absl::Status parsed = Options()
                                  .Value("--destination", &wish->destination)
                                  .Value("--endpoint", &wish->endpoint)
                                  .Count("--limit", &wish->limit)
                                  .Flag("--all", &wish->all)
                                  .Flag("--json", &wish->json)
                                  .Parse(named);
  if (!parsed.ok()) return parsed;
  if (words.empty()) return absl::InvalidArgumentError("needs ls, show, redrive or delete");
  wish->action = words.front();
  wish->ids.assign(words.begin() + 1, words.end());
  const bool changes = wish->action == "redrive" || wish->action == "delete";
  if (!changes && wish->action != "ls" && wish->action != "show") {
    return absl::InvalidArgumentError("'" + EscapeControls(wish->action) +
                                      "' is none of ls, show, redrive and delete");
  }
  if (wish->action == "ls" && !wish->ids.empty()) {
    return absl::InvalidArgumentError("ls takes no ID");
  }
  if (wish->action == "show" && wish->ids.size() != 1) {
    return absl::InvalidArgumentError("show takes one ID");
  }
  if (changes && wish->ids.empty() != wish->all) {
    return absl::InvalidArgumentError(wish->action + " takes IDs, or --all");
  }
  return absl::OkStatus();
}

std::string TextOf(const json::object& object, std::string_view key) {
  const auto* const found = object.if_contains({key.data(), key.size()});
  if (found == nullptr) return "";
  if (!found->is_string()) return json::serialize(*found);
  return EscapeControls({found->get_string().data(), found->get_string().size()});
}

// The answer's JSON, or what the collector said was wrong.
absl::StatusOr<json::object> ObjectOf(const absl::StatusOr<HttpResponse>& reply) {
  if (!reply.ok()) return reply.status();
  json::error_code error;
  const json::value value = json::parse(reply->body, error);
  if (error || !value.is_object()) {
    return absl::InternalError("the collector answered with status " +
                               std::to_string(reply->status) + " and no JSON");
  }
  if (reply->status == 200) return value.get_object();
  const std::string detail = TextOf(value.get_object(), "detail");
  return absl::InternalError(detail.empty() ? "status " + std::to_string(reply->status) : detail);
}

void PrintItems(const json::array& items, const Style& style, std::ostream& out) {
  Table table({{.title = "ID"},
               {.title = "TIME", .drop = 3, .colour = Colour::kDim},
               {.title = "DESTINATION", .drop = 2},
               {.title = "CODE"},
               {.title = "OP", .drop = 4},
               {.title = "RUN", .drop = 1},
               {.title = "BYTES", .right = true, .drop = 5}});
  for (const json::value& value : items) {
    const auto* const item = value.if_object();
    if (item == nullptr) continue;
    const auto* const redriving = item->if_contains("redriving");
    const bool again = redriving != nullptr && redriving->is_bool() && redriving->get_bool();
    table.Add({.cells = {{TextOf(*item, "id"), {}},
                         {TextOf(*item, "time").substr(0, 19), {}},
                         {TextOf(*item, "destination"), {}},
                         {again ? "redriving" : TextOf(*item, "code"), Colour::kRed},
                         {TextOf(*item, "op"), {}},
                         {TextOf(*item, "run_id"), {}},
                         {TextOf(*item, "bytes"), {}}},
               .note = TextOf(*item, "reason"),
               .note_indent = "  "});
  }
  table.Print(style, out);
}

absl::Status List(const HttpClient& client, const Wish& wish, const Style& style, std::ostream& out,
                  std::ostream& err) {
  std::string path = "/admin/parked?limit=" + std::to_string(wish.limit);
  if (!wish.destination.empty()) path += "&destination=" + UrlEncode(wish.destination);
  const absl::StatusOr<json::object> answer = ObjectOf(client.Get(path));
  if (!answer.ok()) return answer.status();
  const auto* const items = answer->if_contains("items");
  if (items == nullptr || !items->is_array()) return absl::InternalError("the answer has no items");
  if (wish.json) {
    for (const json::value& item : items->get_array()) {
      const std::string line = json::serialize(item);
      out << (style.terminal ? EscapeJsonForTerminal(line) : line) << "\n";
    }
  } else if (items->get_array().empty()) {
    err << "weft parked: nothing is parked at " << client.endpoint() << "\n";
  } else {
    PrintItems(items->get_array(), style, out);
  }
  return absl::OkStatus();
}

absl::Status Show(const HttpClient& client, const Wish& wish, const Style& style,
                  std::ostream& out) {
  const auto reply = client.Get("/admin/parked/" + UrlEncode(wish.ids.front()));
  // The text is printed as it came: numbers must not be written anew.
  const absl::StatusOr<json::object> object = ObjectOf(reply);
  if (!object.ok()) return object.status();
  out << (style.terminal ? EscapeJsonForTerminal(reply->body) : reply->body) << "\n";
  return absl::OkStatus();
}

absl::Status Change(const HttpClient& client, const Wish& wish, std::ostream& out) {
  json::object body;
  if (!wish.destination.empty()) body["destination"] = wish.destination;
  if (wish.all) {
    body["all"] = true;
  } else {
    body["ids"] = json::value_from(wish.ids);
  }
  const absl::StatusOr<json::object> answer =
      ObjectOf(client.Post("/admin/parked/" + wish.action, json::serialize(body)));
  if (!answer.ok()) return answer.status();
  if (wish.json) {
    out << json::serialize(*answer) << "\n";
    return absl::OkStatus();
  }
  if (wish.action == "delete") {
    out << TextOf(*answer, "deleted") << " deleted\n";
    return absl::OkStatus();
  }
  out << TextOf(*answer, "redriving") << " sent again; weft parked ls shows what comes back\n";
  const std::string refused = TextOf(*answer, "refused");
  if (refused != "0") out << refused << " still invalid: " << TextOf(*answer, "reason") << "\n";
  return absl::OkStatus();
}

}  // namespace

int ParkedCommand(Args args, const Style& style, std::ostream& out, std::ostream& err) {
  if (WantsHelp(args)) {
    out << kHelp;
    return kDone;
  }
  Wish wish;
  if (const absl::Status parsed = ParseWish(args, &wish); !parsed.ok()) {
    return WrongUse("parked", parsed, err);
  }
  const absl::StatusOr<std::string> endpoint = ChooseEndpoint(wish.endpoint);
  if (!endpoint.ok()) return WrongUse("parked", endpoint.status(), err);
  const HttpClient client(*endpoint);
  const absl::Status status = wish.action == "ls"     ? List(client, wish, style, out, err)
                              : wish.action == "show" ? Show(client, wish, style, out)
                                                      : Change(client, wish, out);
  if (status.ok()) return kDone;
  err << "weft parked: " << status.message() << "\n";
  return kFailed;
}

}  // namespace weft::cli
