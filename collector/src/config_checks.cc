// SPDX-License-Identifier: Apache-2.0
#include "config_checks.h"

#include <array>
#include <set>
#include <utility>

#include "config_lists.h"
#include "config_values.h"
#include "tls.h"

namespace weft::collector {
namespace {

class Checker {
 public:
  Checker(const CollectorConfig& config, const ConfigOrigins& origins)
      : config_(config), origins_(origins) {}

  std::vector<absl::Status> Run() {
    CheckKeys();
    CheckTls();
    CheckListeners();
    CheckRedaction();
    return std::move(problems_);
  }

 private:
  void Fail(absl::Status status) { problems_.push_back(std::move(status)); }

  const std::string& SourceOf(const std::string& list, std::size_t index) const {
    return origins_.elements.at(list)[index].source;
  }

  // Else the tenant of a caller would be a matter of order.
  void CheckKeys() {
    std::set<std::string> names;
    std::set<std::string> values;
    for (std::size_t i = 0; i < config_.keys.size(); ++i) {
      const NamedKey& key = config_.keys[i];
      const std::string origin = SourceOf("auth.keys", i) + ": auth.keys";
      if (!names.insert(key.name).second) {
        Fail(WrongAt(origin, "the name '" + key.name + "' is given twice"));
      } else if (!values.insert(key.value).second) {
        Fail(WrongAt(origin, "the key of '" + key.name + "' is that of another name, too"));
      }
    }
    names.clear();
    for (std::size_t i = 0; i < config_.tenants.size(); ++i) {
      const std::string& name = config_.tenants[i].name;
      if (config_.tenants[i].max_trace_runs > 65'535) {
        Fail(WrongAt(SourceOf("tenants", i) + ": tenants", "max_trace_runs is above 65535"));
      }
      if (names.insert(name).second) continue;
      Fail(WrongAt(SourceOf("tenants", i) + ": tenants",
                   "the tenant '" + name + "' is given twice"));
    }
  }

  // Of the member or, where the listener says nothing, of the common one.
  std::string OriginOfTls(const std::string& section, const std::string& member) const {
    for (const std::string& key : {section + "." + member, "tls." + member}) {
      const auto found = origins_.settings.find(key);
      if (found != origins_.settings.end()) return found->second;
    }
    return section + "." + member;
  }

  void CheckTls() {
    const std::array<std::pair<std::string, const TlsConfig*>, 3> listeners = {
        {{"tls.grpc", &config_.tls_grpc},
         {"tls.otlp_http", &config_.tls_otlp_http},
         {"tls.http", &config_.tls_http}}};
    std::set<std::string> told;
    for (const auto& [section, own] : listeners) {
      const TlsConfig tls = config_.TlsOf(*own);
      std::string origin;
      std::string text;
      if (tls.cert.empty() != tls.key.empty()) {
        const bool no_key = tls.key.empty();
        origin = OriginOfTls(section, no_key ? "cert" : "key");
        text = no_key ? "needs tls.key, too" : "needs tls.cert, too";
      } else if (tls.cert.empty() && !tls.client_ca.empty()) {
        origin = OriginOfTls(section, "client_ca");
        text = "needs tls.cert and tls.key, too";
      }
      if (text.empty() && tls.enabled()) {
        text = std::string(TlsFiles::Read(tls).status().message());
        const std::size_t colon = text.find(": ");
        if (colon == text.npos) continue;
        origin = OriginOfTls(section, text.substr(4, colon - 4));  // `tls.MEMBER: problem`
        text.erase(0, colon + 2);
      }
      if (!text.empty() && told.insert(origin + text).second) Fail(WrongAt(origin, text));
    }
  }

  void CheckListeners() {
    if (config_.allow_insecure_listen) return;
    struct Listener {
      std::string key;
      const std::string* address;
      const TlsConfig* tls;
    };
    const std::array<Listener, 3> listeners = {
        {{"listen_grpc", &config_.listen_grpc, &config_.tls_grpc},
         {"listen_otlp_http", &config_.listen_otlp_http, &config_.tls_otlp_http},
         {"listen_http", &config_.listen_http, &config_.tls_http}}};
    for (const Listener& listener : listeners) {
      if (IsLoopback(*listener.address)) continue;
      const TlsConfig tls = config_.TlsOf(*listener.tls);
      const bool knows_callers = !config_.keys.empty() || !tls.client_ca.empty();
      if (tls.enabled() && knows_callers) continue;
      const std::string missing = tls.enabled()          ? "are no keys"
                                  : config_.keys.empty() ? "are neither TLS nor keys"
                                                         : "is no TLS to protect the keys";
      const auto origin = origins_.settings.find(listener.key);
      Fail(WrongAt(origin == origins_.settings.end() ? listener.key : origin->second,
                   "'" + *listener.address + "' can be reached from other machines, and there " +
                       missing + "; --allow-insecure-listen allows it"));
    }
  }

  void CheckRedaction() {
    for (const ScopedRedactionRule& scoped : config_.redaction.rules) {
      if (scoped.rule.action == RedactionAction::kHash && config_.redaction.hash_key.empty()) {
        Fail(WrongAt("redaction.rules", "the rule '" + scoped.rule.name +
                                            "' hashes: it needs redaction.hash_key_env or "
                                            "redaction.hash_key_file"));
      }
    }
  }

  const CollectorConfig& config_;
  const ConfigOrigins& origins_;
  std::vector<absl::Status> problems_;
};

}  // namespace

std::vector<absl::Status> CheckConfig(const CollectorConfig& config, const ConfigOrigins& origins) {
  return Checker(config, origins).Run();
}

}  // namespace weft::collector
