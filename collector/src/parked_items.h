// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/collector/admin.h>

#include "parked_file.h"

namespace weft::collector {

/// Everything that is parked, for people: `/admin/parked` (docs/http-api.md).
///
/// Threads: any, once all places are there.
class ParkedItems {
 public:
  /// What became of lines that are to be sent again.
  struct Redriven {
    std::uint64_t accepted = 0;  ///< Sent, or will be.
    std::uint64_t refused = 0;
    std::string reason{};  ///< Of the first that was refused.
  };
  using Redrive = std::function<absl::StatusOr<Redriven>(const std::vector<std::uint64_t>& ids)>;

  /// `name`: a destination's, or `received`. The file must outlive this.
  void Add(std::string name, ParkedFile& file, Redrive redrive) {
    places_.push_back({std::move(name), &file, std::move(redrive)});
  }

  absl::StatusOr<std::string> Answer(const AdminRequest& request) const;

 private:
  struct Place {
    std::string name;
    ParkedFile* file;
    Redrive redrive;
  };
  struct Chosen {
    const Place* place;
    std::vector<std::uint64_t> ids;
  };

  absl::StatusOr<std::string> List(const AdminRequest& request) const;
  absl::StatusOr<std::string> Show(std::string_view id) const;
  absl::StatusOr<std::string> RedriveAll(const std::vector<Chosen>& chosen) const;
  absl::StatusOr<std::string> Delete(const std::vector<Chosen>& chosen) const;
  /// What a body `{"ids":[...]}` or `{"all":true}`, with or without `destination`, means.
  absl::StatusOr<std::vector<Chosen>> Choose(const std::string& body) const;
  absl::StatusOr<std::vector<Chosen>> ChooseIds(std::vector<std::uint64_t> ids,
                                                const std::string& destination) const;

  std::vector<Place> places_;
};

}  // namespace weft::collector
