#include "broker/connect_options.h"

#include <cstring>  // explicit_bzero
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace feedvault::broker {
namespace {

using Json = nlohmann::json;

// Go matches field names without regard to case.
bool same_name(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) {
    return false;
  }
  for (std::size_t i = 0; i < a.size(); ++i) {
    const char c = a[i] >= 'A' && a[i] <= 'Z' ? static_cast<char>(a[i] | 0x20) : a[i];
    if (c != b[i]) {
      return false;
    }
  }
  return true;
}

template <typename T>
bool take(const Json& value, T& into) {
  if (value.is_null()) {
    return true;
  }
  if constexpr (std::is_same_v<T, bool>) {
    if (!value.is_boolean()) {
      return false;
    }
    into = value.get<bool>();
  } else if constexpr (std::is_same_v<T, int>) {
    if (!value.is_number_integer()) {
      return false;
    }
    const auto number = value.get<std::int64_t>();
    // Anything that is not 0 or 1 is refused later; only the sign and the size matter here.
    into = number < 0 || number > std::numeric_limits<int>::max() ? -1 : static_cast<int>(number);
  } else {
    if (!value.is_string()) {
      return false;
    }
    into = value.get<std::string>();
  }
  return true;
}

bool take_field(const std::string& name, const Json& value, ConnectOptions& options) {
  ConnectCredentials& credentials = options.credentials;
  struct TextField {
    std::string_view name;
    std::string* into;
  };
  const TextField texts[] = {{"name", &options.name},
                             {"lang", &options.lang},
                             {"version", &options.version},
                             {"account", &options.account},
                             {"user", &credentials.user},
                             {"pass", &credentials.password},
                             {"auth_token", &credentials.token},
                             {"nkey", &credentials.nkey},
                             {"sig", &credentials.signature},
                             {"jwt", &credentials.jwt}};
  for (const TextField& field : texts) {
    if (same_name(name, field.name)) {
      return take(value, *field.into);
    }
  }
  struct FlagField {
    std::string_view name;
    bool* into;
  };
  bool ignored = false;
  const FlagField flags[] = {{"verbose", &options.verbose},
                             {"pedantic", &options.pedantic},
                             {"echo", &options.echo},
                             {"headers", &options.headers},
                             {"no_responders", &options.no_responders},
                             {"tls_required", &ignored}};
  for (const FlagField& field : flags) {
    if (same_name(name, field.name)) {
      return take(value, *field.into);
    }
  }
  return !same_name(name, "protocol") || take(value, options.protocol);
}

Json parse(std::string_view json) {
  return Json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
}

}  // namespace

bool read_connect_options(std::string_view json, ConnectOptions& options) {
  Json parsed = parse(json);
  if (!parsed.is_object()) {
    return false;
  }
  bool good = true;
  for (auto it = parsed.begin(); it != parsed.end(); ++it) {
    good = good && take_field(it.key(), it.value(), options);
    if (it.value().is_string()) {
      auto& text = it.value().get_ref<std::string&>();  // may be a secret: not to stay in memory
      explicit_bzero(text.data(), text.size());
    }
  }
  return good;
}

bool is_json_object(std::string_view json) {
  return parse(json).is_object();
}

std::string json_quoted(std::string_view text) {
  return Json(std::string(text)).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string go_quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted.push_back('\\');
      quoted.push_back(c);
    } else if (byte < 0x20 || byte == 0x7F) {
      quoted += fmt::format("\\x{:02x}", byte);
    } else {
      quoted.push_back(c);
    }
  }
  quoted.push_back('"');
  return quoted;
}

}  // namespace feedvault::broker
