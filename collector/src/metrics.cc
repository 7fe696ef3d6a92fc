// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/metrics.h>

#include <sys/resource.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <sstream>
#include <string>

#include <absl/strings/str_cat.h>

#include <weft/version.h>

namespace weft::collector {
using Text = weft::internal::MetricsText;

void MetricsWriter::Sample(std::string_view suffix, Labels labels, double value) {
  std::string list;
  for (const auto& [name, content] : labels) Text::AppendLabel(list, name, content);
  text_.Sample(suffix, list, value);
}

void DurationHistogram::Record(std::chrono::steady_clock::duration duration) noexcept {
  const double seconds = std::chrono::duration<double>(duration).count();
  std::size_t bucket = 0;
  while (bucket < DurationCounts::kBounds.size() && seconds > DurationCounts::kBounds[bucket]) {
    ++bucket;
  }
  buckets_[bucket].fetch_add(1, std::memory_order_relaxed);
  const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(duration);
  microseconds_.fetch_add(static_cast<std::uint64_t>(microseconds.count()),
                          std::memory_order_relaxed);
}

DurationCounts DurationHistogram::Counts() const {
  DurationCounts counts;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    counts.buckets[i] = buckets_[i].load(std::memory_order_relaxed);
  }
  counts.seconds = static_cast<double>(microseconds_.load(std::memory_order_relaxed)) / 1e6;
  return counts;
}

std::uint64_t DurationCounts::total() const {
  return std::accumulate(buckets.begin(), buckets.end(), std::uint64_t{0});
}

void DurationCounts::Write(MetricsWriter& out) const {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    total += buckets[i];
    // Names of buckets are compared as text: `0.0001`, as others write it, not `1e-04`.
    const std::string bound = i < kBounds.size() ? absl::StrCat(kBounds[i]) : "+Inf";
    out.Sample("_bucket", {{"le", bound}}, static_cast<double>(total));
  }
  out.Sample("_sum", {}, seconds);
  out.Sample("_count", {}, static_cast<double>(total));
}

namespace {

void WriteDescriptors(MetricsWriter& out) {
  std::error_code error;
  const std::filesystem::directory_iterator open("/proc/self/fd", error);
  if (!error) {
    out.Family("process_open_fds", "gauge", "Open file descriptors.");
    out.Sample({}, static_cast<double>(std::distance(begin(open), end(open))));
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  out.Family("process_max_fds", "gauge", "File descriptors that may be open.");
  out.Sample({}, static_cast<double>(limit.rlim_cur));
}

double StartTime() {
  // The 22nd field, counted behind the name, which may hold blanks; in ticks since the boot.
  std::ifstream stat("/proc/self/stat");
  const std::string line(std::istreambuf_iterator<char>(stat), {});
  std::istringstream fields(line.substr(line.rfind(')') + 1));
  std::string skipped;
  for (int i = 3; i < 22; ++i) fields >> skipped;
  double ticks = 0;
  fields >> ticks;
  timespec now{};
  timespec since_boot{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  ::clock_gettime(CLOCK_BOOTTIME, &since_boot);
  return static_cast<double>(now.tv_sec - since_boot.tv_sec) +
         ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

}  // namespace

void WriteProcessMetrics(MetricsWriter& out) {
  double pages = 0;
  double resident_pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident_pages;
  const auto page_bytes = static_cast<double>(::sysconf(_SC_PAGESIZE));
  out.Family("process_resident_memory_bytes", "gauge", "Resident memory.");
  out.Sample({}, resident_pages * page_bytes);
  out.Family("process_virtual_memory_bytes", "gauge", "Virtual memory.");
  out.Sample({}, pages * page_bytes);
  WriteDescriptors(out);
  out.Family("process_start_time_seconds", "gauge", "When the process started, as Unix time.");
  out.Sample({}, StartTime());
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  out.Family("process_cpu_seconds_total", "counter", "CPU time, user and system.");
  out.Sample({}, seconds(usage.ru_utime) + seconds(usage.ru_stime));
  out.Family("weft_build_info", "gauge", "1, with the version as label.");
  out.Sample({{"version", WEFT_VERSION}}, 1);
}

}  // namespace weft::collector
