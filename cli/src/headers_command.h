// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>
#include <span>
#include <string_view>

namespace weft::cli {

/// `weft headers decode | encode | sample`: the propagation core as a filter. `args` follow the
/// word `headers`. One line of `out` for each line of `in`, whatever it holds; what is wrong with
/// an input of `encode` goes to `err`. `weft headers check` explains headers of its arguments, the
/// environment or `in`. Returns the exit code.
int HeadersCommand(std::span<const std::string_view> args, std::istream& in, std::ostream& out,
                   std::ostream& err);

}  // namespace weft::cli
