#pragma once

#include <optional>
#include <string_view>

namespace feedvault::nats {

// A header block as it travels: "NATS/1.0[ status[ description]]\r\n(Name: value\r\n)*\r\n". Views
// point into the block; nothing is copied and bad blocks are read as far as they make sense.

/// First value of the header with exactly this name, without the blanks around it.
std::optional<std::string_view> find_header(std::string_view block, std::string_view name);

struct StatusLine {
  std::string_view status;  // "503", or empty
  std::string_view description;
};
StatusLine read_status_line(std::string_view block);

}  // namespace feedvault::nats
