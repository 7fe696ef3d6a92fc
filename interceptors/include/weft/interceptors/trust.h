// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <weft/interceptors/selector.h>

namespace weft {
inline namespace v0 {

/// How much a server believes of what a caller says about its trace.
enum class CallerTrust : std::uint8_t {
  /// The caller's run is the parent; its project, tags, metadata and baggage hold below it.
  kTrusted,
  /// The call begins a trace of its own. Its run names the caller's in the metadata `weft_links`.
  kLink,
  /// The call begins a trace of its own; the trace headers are not even read.
  kIgnore,
};

/// What callers have in common, and what follows. A list that is not empty takes a call when one of
/// its entries does; a rule takes the calls that all its lists take.
struct TrustRule {
  CallerTrust trust = CallerTrust::kTrusted;
  Selector methods{};
  /// Where the peer is: an address, a network (`10.0.0.0/8`, `fd00::/8`), or `unix`. gRPC does not
  /// know where callers within the process are.
  std::vector<std::string> peers{};
  /// Globs on the names that the peer's TLS certificate proves.
  std::vector<std::string> tls_identities{};
  /// Globs on the name of the Identity that Auth gave the call. A call that was rejected before has
  /// none.
  std::vector<std::string> identities{};
};

/// Which callers are believed; the first rule that takes a call decides.
///
///     // Services of ours in the cluster are part of our traces; partners begin their own.
///     weft::InterceptServer(builder, {.tracer = tracer,
///                                     .tracing = {.trust = {.rules = {{.peers = {"10.0.0.0/8"}}},
///                                                           .otherwise = CallerTrust::kLink}},
///                                     .middlewares = {weft::Auth(check)}});
///
/// Where a rule asks for identities, the run of a call begins when the call has been admitted or
/// rejected instead of before: its start is the same, but middlewares have no current run in Admit
/// and OnReceiveMetadata.
///
/// Errors: InterceptServer names the first entry of `peers` that it cannot read. A Tracing() made
///   by hand with such rules believes nobody.
struct TrustOptions {
  std::vector<TrustRule> rules{};
  CallerTrust otherwise = CallerTrust::kTrusted;
};

/// How much a client tells the server that it calls.
enum class Disclosure : std::uint8_t {
  /// The run, and what it hands down: project, tags, metadata, baggage.
  kAll,
  /// `langsmith-trace` and `traceparent` only, as far as TracingOptions::propagation writes them.
  kIds,
  /// No header of the trace.
  kNone,
};

/// What the servers behind some targets are told.
struct DisclosureRule {
  Selector targets{};  ///< Globs on what the channel was made for, such as `*.example.com:443`.
  Disclosure disclosure = Disclosure::kAll;
};

/// Which servers are told how much; the first rule that takes a channel's target decides.
///
///     auto channel = weft::CreateChannel("dns:///api.example.com:443", credentials,
///         {.tracer = tracer,
///          .tracing = {.disclosure = {.rules = {{weft::PublicEndpoints(), Disclosure::kNone}}}}});
///
/// Where less than everything is told, `langsmith-trace` and LangSmith's members of `baggage` do
/// not go out even if the application wrote them; what else it wrote does.
struct DisclosureOptions {
  std::vector<DisclosureRule> rules{};
  Disclosure otherwise = Disclosure::kAll;
};

/// Targets outside of one's own network, as far as their form tells: public addresses, and names of
/// at least two labels but for `.local`, `.internal`, `.localhost`, `.lan`, `.svc`, `.consul`,
/// `.test` and `.home.arpa`. Targets of other resolvers than DNS (`unix:`, `xds:` ...) are one's
/// own. For a company's own names put a rule before it.
Selector PublicEndpoints();

}  // namespace v0
}  // namespace weft
