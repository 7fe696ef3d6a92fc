// SPDX-License-Identifier: Apache-2.0
#include "parked_file.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <system_error>
#include <utility>

#include <absl/strings/escaping.h>
#include <simdjson.h>
#include <xxhash.h>

#include "fold_json.h"
#include "log_files.h"
#include "utc_time.h"

namespace weft::collector {
namespace {

constexpr char kRemoved = '-', kMarked = '+', kUnmarked = '=';
// Of a line's members those before the run are looked at.
constexpr std::size_t kHeadBytes = 4096;

std::optional<std::uint64_t> ParseHex(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// A full disk has room again; only a full file is final.
absl::Status OfTheDisk(const absl::Status& status) {
  return absl::IsResourceExhausted(status) ? absl::UnavailableError(status.message()) : status;
}

// What a line says of itself; a line without an id gets one made from its text.
ParkedFile::Item ItemOf(std::string_view line) {
  ParkedFile::Item item;
  item.length = line.size();
  bool has_id = false;
  FieldCutter cutter(line.substr(0, kHeadBytes));
  for (std::string_view key, value; cutter.Next(key, value);) {
    if (key == "id" && value.size() > 2) {
      const auto id = ParseHex(value.substr(1, value.size() - 2));
      has_id = id.has_value();
      item.id = id.value_or(0);
    } else if (key == "code") {
      item.code = JsonText(value).value_or("");
    } else if (key == "covers") {
      std::from_chars(value.data(), value.data() + value.size(), item.operations);
    }
  }
  if (!has_id) item.id = XXH3_64bits(line.data(), line.size());
  return item;
}

}  // namespace

std::string HexId(std::uint64_t id) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016" PRIx64, id);
  return text.data();
}

absl::StatusOr<std::unique_ptr<ParkedFile>> ParkedFile::Open(const std::filesystem::path& path,
                                                             std::uint64_t max_bytes) {
  if (absl::Status status = MakeDirectory(path.parent_path()); !status.ok()) return status;
  absl::StatusOr<LineFile> file = LineFile::Open(path);
  if (!file.ok()) return file.status();
  std::unique_ptr<ParkedFile> parked(new ParkedFile(*std::move(file), max_bytes));
  absl::Status status = parked->LoadItems();
  if (status.ok()) status = parked->ApplyMarks();
  if (!status.ok()) return status;
  parked->from_before_ = parked->operations_;
  for (auto& [offset, item] : parked->items_) item.from_before = true;
  return parked;
}

std::filesystem::path ParkedFile::MarksPath() const {
  std::filesystem::path path = file_.path();
  return path.replace_extension(".marks");
}

absl::Status ParkedFile::LoadItems() {
  absl::StatusOr<std::string> content = ReadFile(file_.path());
  if (!content.ok()) return content.status();
  for (std::size_t start = 0; start < content->size();) {
    const std::size_t end = std::min(content->find('\n', start), content->size());
    Item item = ItemOf(std::string_view(*content).substr(start, end - start));
    item.offset = start;
    item.id = FreeId(item.id);
    Insert(std::move(item));
    start = end + 1;
  }
  return absl::OkStatus();
}

absl::Status ParkedFile::ApplyMarks() {
  absl::StatusOr<std::string> content = ReadFile(MarksPath());
  if (absl::IsNotFound(content.status())) return absl::OkStatus();
  if (!content.ok()) return content.status();
  for (std::size_t start = 0; start < content->size();) {
    const std::size_t end = std::min(content->find('\n', start), content->size());
    const std::string_view line = std::string_view(*content).substr(start, end - start);
    start = end + 1;
    const auto id = line.empty() ? std::nullopt : ParseHex(line.substr(1));
    const auto place = id ? offsets_.find(*id) : offsets_.end();
    if (place == offsets_.end()) continue;
    if (line.front() == kRemoved) {
      if (items_.at(place->second).redrive) --redrives_;
      Erase(*id);
    } else {
      Item& item = items_.at(place->second);
      if (item.redrive != (line.front() == kMarked)) item.redrive ? --redrives_ : ++redrives_;
      item.redrive = line.front() == kMarked;
    }
  }
  return Compact();
}

// Copies the lines that are left. The marks go after them: applied again they do no harm.
absl::Status ParkedFile::Compact() {
  absl::StatusOr<std::string> content = ReadFile(file_.path());
  if (!content.ok()) return content.status();
  std::string kept, marks;
  std::map<std::uint64_t, Item> items;
  for (const auto& [offset, item] : items_) {
    Item moved = item;
    moved.offset = kept.size();
    kept.append(*content, offset, item.length).append("\n");
    if (item.redrive) marks += kMarked + HexId(item.id) + "\n";
    offsets_[item.id] = moved.offset;
    items.emplace(moved.offset, std::move(moved));
  }
  items_ = std::move(items);
  if (absl::Status status = ReplaceFile(file_.path(), kept); !status.ok()) return status;
  absl::StatusOr<LineFile> file = LineFile::Open(file_.path());
  if (!file.ok()) return file.status();
  file_ = *std::move(file);
  gone_.clear();
  marks_.reset();
  if (!marks.empty()) return ReplaceFile(MarksPath(), marks);
  std::error_code ignored;
  std::filesystem::remove(MarksPath(), ignored);
  return absl::OkStatus();
}

absl::Status ParkedFile::Mark(std::string_view lines) {
  if (lines.empty()) return absl::OkStatus();
  if (!marks_) {
    absl::StatusOr<LineFile> opened = LineFile::Open(MarksPath());
    if (!opened.ok()) return opened.status();
    marks_ = std::make_unique<LineFile>(*std::move(opened));
  }
  absl::Status status = marks_->Append(lines);
  return status.ok() ? marks_->Sync() : status;
}

void ParkedFile::Insert(Item item) {
  operations_ += item.operations;
  offsets_[item.id] = item.offset;
  items_.insert_or_assign(item.offset, std::move(item));
}

void ParkedFile::Erase(std::uint64_t id) {
  const auto place = offsets_.find(id);
  operations_ -= items_.at(place->second).operations;
  items_.erase(place->second);
  offsets_.erase(place);
  gone_.insert(id);
}

// A mark must not mean a later line.
std::uint64_t ParkedFile::FreeId(std::uint64_t id) const {
  while (offsets_.contains(id) || gone_.contains(id)) ++id;
  return id;
}

absl::StatusOr<std::size_t> ParkedFile::Park(const std::vector<JsonObject>& entries) {
  std::vector<std::uint64_t> kept;
  const std::lock_guard lock(mutex_);
  for (const JsonObject& entry : entries) {
    ParkedLine line;
    line.text = boost::json::serialize(entry);
    line.id = FreeId(XXH3_64bits(line.text.data(), line.text.size()));
    line.text = "{\"id\":\"" + HexId(line.id) + "\"," + line.text.substr(1);
    const std::uint64_t id = line.id;
    const absl::Status status = Append(std::move(line));
    if (status.ok()) {
      kept.push_back(id);
    } else if (!absl::IsResourceExhausted(status)) {
      TakeBack(kept);
      return status;
    }
  }
  if (absl::Status status = Sync(kept); !status.ok()) return status;
  return entries.size() - kept.size();
}

absl::Status ParkedFile::Park(ParkedLine line) {
  const std::lock_guard lock(mutex_);
  const auto known = offsets_.find(line.id);
  if (known != offsets_.end()) {
    Item& item = items_.at(known->second);
    if (std::exchange(item.from_before, false)) from_before_ -= item.operations;
    return absl::OkStatus();
  }
  if (gone_.contains(line.id)) {
    if (absl::Status status = Compact(); !status.ok()) return status;
  }
  const std::uint64_t id = line.id;
  absl::Status status = Append(std::move(line));
  return status.ok() ? Sync({id}) : status;
}

absl::Status ParkedFile::Append(ParkedLine line) {
  line.text += '\n';
  if (file_.size() + line.text.size() > max_bytes_ && !gone_.empty()) {
    if (absl::Status status = Compact(); !status.ok()) return status;
  }
  if (file_.size() + line.text.size() > max_bytes_) {
    return absl::ResourceExhaustedError(file_.path().string() + " is full");
  }
  Item item;
  item.id = line.id;
  item.offset = file_.size();
  item.length = line.text.size() - 1;
  item.operations = line.operations;
  item.code = std::move(line.code);
  if (absl::Status status = file_.Append(line.text); !status.ok()) return OfTheDisk(status);
  Insert(std::move(item));
  return absl::OkStatus();
}

absl::Status ParkedFile::Sync(const std::vector<std::uint64_t>& ids) {
  if (ids.empty()) return absl::OkStatus();
  absl::Status status = OfTheDisk(file_.Sync());
  if (!status.ok()) TakeBack(ids);
  return status;
}

void ParkedFile::TakeBack(const std::vector<std::uint64_t>& ids) {
  if (ids.empty()) return;
  const std::uint64_t first = offsets_.at(ids.front());
  // If not even this can be done, they are there.
  if (!file_.Cut(first).ok()) return;
  for (const std::uint64_t id : ids) {
    Erase(id);
    gone_.erase(id);
  }
}

std::vector<ParkedFile::Item> ParkedFile::List(std::uint64_t after, std::size_t limit) const {
  const std::lock_guard lock(mutex_);
  std::vector<Item> list;
  const auto place = offsets_.find(after);
  auto it = place == offsets_.end() ? items_.begin() : items_.upper_bound(place->second);
  for (; it != items_.end() && list.size() < limit; ++it) list.push_back(it->second);
  return list;
}

std::vector<ParkedFile::Item> ParkedFile::ToRedrive(std::size_t limit) const {
  const std::lock_guard lock(mutex_);
  std::vector<Item> list;
  if (redrives_ == 0) return list;
  for (const auto& [offset, item] : items_) {
    if (list.size() >= limit) break;
    if (item.redrive) list.push_back(item);
  }
  return list;
}

absl::StatusOr<std::string> ParkedFile::Read(std::uint64_t id, std::size_t limit) const {
  const std::lock_guard lock(mutex_);
  const auto place = offsets_.find(id);
  if (place == offsets_.end()) return absl::NotFoundError("no parked item has the id " + HexId(id));
  const Item& item = items_.at(place->second);
  std::string text(std::min<std::size_t>(limit, item.length), '\0');
  absl::StatusOr<std::size_t> got = file_.ReadAt(item.offset, text.data(), text.size());
  if (!got.ok()) return got.status();
  text.resize(*got);
  return text;
}

absl::StatusOr<std::uint64_t> ParkedFile::Remove(const std::vector<std::uint64_t>& ids) {
  std::string marks;
  for (const std::uint64_t id : ids) {
    if (offsets_.contains(id)) marks += kRemoved + HexId(id) + "\n";
  }
  if (absl::Status status = Mark(marks); !status.ok()) return status;
  const std::uint64_t before = operations_;
  for (const std::uint64_t id : ids) {
    const auto place = offsets_.find(id);
    if (place == offsets_.end()) continue;
    if (items_.at(place->second).redrive) --redrives_;
    Erase(id);
  }
  const std::uint64_t removed = before - operations_;
  if (items_.empty() && removed > 0) {
    if (absl::Status status = Compact(); !status.ok()) return status;
  }
  return removed;
}

absl::StatusOr<std::uint64_t> ParkedFile::Discard(const std::vector<std::uint64_t>& ids) {
  const std::lock_guard lock(mutex_);
  absl::StatusOr<std::uint64_t> removed = Remove(ids);
  if (removed.ok()) discarded_ += *removed;
  return removed;
}

absl::StatusOr<std::uint64_t> ParkedFile::Settle(const std::vector<std::uint64_t>& ids) {
  const std::lock_guard lock(mutex_);
  return Remove(ids);
}

absl::StatusOr<std::uint64_t> ParkedFile::SetRedrive(const std::vector<std::uint64_t>& ids,
                                                     bool redrive) {
  const std::lock_guard lock(mutex_);
  std::string marks;
  std::vector<Item*> changed;
  for (const std::uint64_t id : ids) {
    const auto place = offsets_.find(id);
    if (place == offsets_.end()) continue;
    Item& item = items_.at(place->second);
    if (item.redrive == redrive) continue;
    marks += (redrive ? kMarked : kUnmarked) + HexId(id) + "\n";
    changed.push_back(&item);
  }
  if (absl::Status status = Mark(marks); !status.ok()) return status;
  for (Item* const item : changed) item->redrive = redrive;
  redrives_ += redrive ? changed.size() : 0 - changed.size();
  return changed.size();
}

std::vector<std::uint64_t> ParkedFile::Ids() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::uint64_t> ids;
  for (const auto& [offset, item] : items_) ids.push_back(item.id);
  return ids;
}

std::uint64_t ParkedFile::bytes() const {
  const std::lock_guard lock(mutex_);
  return file_.size();
}

std::uint64_t ParkedFile::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

std::uint64_t ParkedFile::operations_from_before() const {
  const std::lock_guard lock(mutex_);
  return from_before_;
}

std::uint64_t ParkedFile::discarded() const {
  const std::lock_guard lock(mutex_);
  return discarded_;
}

std::map<std::string, std::uint64_t> ParkedFile::OperationsByCode() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, std::uint64_t> counts;
  for (const auto& [offset, item] : items_) counts[item.code] += item.operations;
  return counts;
}

void SetBytes(JsonObject& entry, std::string_view name, std::string_view bytes) {
  const bool utf8 = simdjson::validate_utf8(bytes.data(), bytes.size());
  if (utf8) {
    entry[name] = bytes;
    return;
  }
  entry[std::string(name) + "_base64"] =
      absl::Base64Escape(absl::string_view(bytes.data(), bytes.size()));
}

std::string IsoTime(std::uint64_t unix_microseconds) {
  const auto text = IsoTimeText(static_cast<std::int64_t>(unix_microseconds));
  return {text.data(), text.size()};
}

}  // namespace weft::collector
