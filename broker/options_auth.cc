// authorization { } and accounts { }: users and what they may do.

#include <algorithm>

#include <fmt/format.h>

#include "broker/options_map.h"
#include "broker/options_reader.h"

namespace feedvault::broker {
namespace {

using Kind = ConfValue::Kind;
using Then = UnsupportedKey::Then;
using Warnings = std::vector<std::string>;

Status read_allow(const ConfValue& value, SubjectRules& rules) {
  std::vector<std::string> subjects;
  RETURN_IF_ERROR(read_texts(value, subjects));
  if (subjects.empty()) {
    // nats-server takes it as "everything", a reader as "nothing": do not choose.
    return bad_value(value,
                     "is empty; to allow everything leave the key out, to allow nothing write "
                     "deny: \">\"");
  }
  rules.allow = std::move(subjects);
  return {};
}

Status read_rules(const ConfValue& value, SubjectRules& rules, Warnings& warnings) {
  if (value.kind != Kind::kMap) {
    return read_allow(value, rules);
  }
  return read_map(value,
                  {{"allow", [&](const ConfValue& v) { return read_allow(v, rules); }},
                   key_texts("deny", rules.deny)},
                  {},
                  warnings);
}

Status read_responses(const ConfValue& value,
                      std::optional<ResponseRules>& responses,
                      Warnings& warnings) {
  if (value.kind == Kind::kBool) {
    responses.reset();
    if (value.boolean) {
      responses.emplace();
    }
    return {};
  }
  ResponseRules rules;
  RETURN_IF_ERROR(read_map(value,
                           {key_number("max|max_msgs|max_messages|max_responses", rules.max, -1),
                            {"expires|expiration|ttl",
                             [&](const ConfValue& v) -> Status {
                               if (v.kind == Kind::kInteger && v.integer < 0) {
                                 rules.expires = std::chrono::nanoseconds(0);  // for ever
                                 return {};
                               }
                               return read_duration(v, rules.expires);
                             }}},
                           {},
                           warnings));
  // Zero means the default, as nats-server has it.
  const ResponseRules defaults;
  rules.max = rules.max == 0 ? defaults.max : rules.max;
  responses = rules;
  return {};
}

Status read_permissions(const ConfValue& value,
                        std::optional<PermissionRules>& permissions,
                        Warnings& warnings) {
  PermissionRules rules;
  RETURN_IF_ERROR(
      read_map(value,
               {{"publish|pub|import",
                 [&](const ConfValue& v) { return read_rules(v, rules.publish, warnings); }},
                {"subscribe|sub|export",
                 [&](const ConfValue& v) { return read_rules(v, rules.subscribe, warnings); }},
                {"allow_responses|publish_allow_responses|allow_response",
                 [&](const ConfValue& v) { return read_responses(v, rules.responses, warnings); }}},
               {},
               warnings));
  permissions = std::move(rules);
  return {};
}

Status read_connection_kinds(const ConfValue& value, std::uint8_t& kinds, Warnings& warnings) {
  std::vector<std::string> names;
  RETURN_IF_ERROR(read_texts(value, names));
  kinds = 0;
  for (std::string& name : names) {
    std::transform(name.begin(), name.end(), name.begin(), [](char c) {
      return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    });
    if (name == "STANDARD") {
      kinds |= kStandard;
    } else if (name == "WEBSOCKET") {
      kinds |= kWebsocket;
    } else if (name == "LEAFNODE" || name == "LEAFNODE_WS" || name == "MQTT" || name == "MQTT_WS" ||
               name == "IN_PROCESS") {
      warnings.push_back(
          bad_value(value, name + " connections do not exist in this broker").message());
    } else {
      return bad_value(value, "'" + name + "' is unknown; write STANDARD or WEBSOCKET");
    }
  }
  return {};
}

Status read_user(const ConfValue& value, UserOptions& user, Warnings& warnings) {
  if (value.kind != Kind::kMap) {
    return bad_value(value, "a user is a map; write {user: name, password: secret}");
  }
  RETURN_IF_ERROR(read_map(
      value,
      {key_text("user|username", user.user),
       key_text("password|pass", user.password),
       key_text("nkey", user.nkey),
       {"permissions|permission|authorization",
        [&](const ConfValue& v) { return read_permissions(v, user.permissions, warnings); }},
       {"allowed_connection_types|connection_types|clients",
        [&](const ConfValue& v) {
          return read_connection_kinds(v, user.connection_kinds, warnings);
        }}},
      {{"proxy_required", Then::kRefuse, "remove it, or the user"}},
      warnings));
  if (user.nkey.empty() ? user.user.empty() || user.password.empty()
                        : !user.user.empty() || !user.password.empty()) {
    return bad_value(value, "a user has a user name and a password, or only an nkey");
  }
  return {};
}

Status read_users(const ConfValue& value,
                  bool system,
                  const std::optional<PermissionRules>& defaults,
                  std::vector<UserOptions>& users,
                  Warnings& warnings) {
  if (value.kind != Kind::kArray) {
    return bad_value(value, "is no list; write [ {user: ..., password: ...} ]");
  }
  for (const ConfValue& item : value.items) {
    UserOptions user;
    user.system = system;
    user.permissions = defaults;
    RETURN_IF_ERROR(read_user(item, user, warnings));
    users.push_back(std::move(user));
  }
  return {};
}

Status read_account(const ConfValue& value,
                    bool system,
                    AuthorizationOptions& options,
                    Warnings& warnings) {
  std::optional<PermissionRules> defaults;
  const auto read_them = [&](const ConfValue& v) {
    return read_users(v, system, defaults, options.users, warnings);
  };
  // Defaults first, wherever they are written.
  if (const ConfValue* given = value.find("default_permissions"); given != nullptr) {
    RETURN_IF_ERROR(read_permissions(*given, defaults, warnings));
  }
  const auto nothing = [](const ConfValue& /*value*/) { return Status(); };
  return read_map(
      value,
      {{"users", read_them}, {"nkeys", read_them}, {"default_permissions", nothing}},
      {{"exports|imports",
        Then::kRefuse,
        "it has no accounts to share subjects between; remove it"},
       {"mappings|maps", Then::kRefuse, "messages would take other ways than intended; remove it"},
       {"limits", Then::kRefuse, "use max_connections, max_subscriptions and max_payload"},
       {"msg_trace|trace_dest", Then::kWarn, "messages are not traced"},
       {"jetstream|cluster_traffic", Then::kWarn, "the setting for the whole server counts"}},
      warnings);
}

bool has_users(const ConfValue& account) {
  const auto any = [&](const char* key) {
    const ConfValue* users = account.find(key);
    return users != nullptr && !users->items.empty();
  };
  return any("users") || any("nkeys");
}

}  // namespace

Status apply_authorization(const ConfValue& map,
                           AuthorizationOptions& options,
                           Warnings& warnings) {
  // Defaults first, wherever they are written.
  for (const char* key : {"default_permissions", "default_permission", "permissions"}) {
    if (const ConfValue* given = map.find(key); given != nullptr) {
      RETURN_IF_ERROR(read_permissions(*given, options.default_permissions, warnings));
    }
  }
  const auto nothing = [](const ConfValue& /*value*/) { return Status(); };
  return read_map(
      map,
      {key_text("user|username", options.user),
       key_text("password|pass", options.password),
       key_text("token", options.token),
       {"timeout", [&](const ConfValue& v) { return read_duration(v, options.timeout.emplace()); }},
       {"users|nkeys",
        [&](const ConfValue& v) {
          return read_users(v, /*system=*/false, std::nullopt, options.users, warnings);
        }},
       {"default_permissions|default_permission|permissions", nothing}},
      {{"auth_callout|auth_hook", Then::kRefuse, "nobody would be asked; list the users here"},
       {"proxy_required", Then::kRefuse, "clients without a proxy would get in; remove it"}},
      warnings);
}

Status apply_accounts(const ConfValue& value,
                      const std::string& system_account,
                      AuthorizationOptions& options,
                      Warnings& warnings) {
  if (value.kind == Kind::kArray && value.items.size() <= 1) {
    return {};  // a name without users
  }
  if (value.kind != Kind::kMap) {
    return bad_value(value,
                     "is no map of accounts; this broker has one account beside the system's");
  }
  const ConfValue* ordinary = nullptr;
  for (const ConfValue& account : value.entries) {
    const bool system = account.key == system_account;
    if (!system && !account.variable && has_users(account)) {
      if (ordinary != nullptr || options.any()) {
        return bad_value(account,
                         "a second account is not supported: its users would see the first one's "
                         "messages; keep one account, or run one broker for each");
      }
      ordinary = &account;
    }
  }
  for (const ConfValue& account : value.entries) {
    if (!account.variable || account.kind == Kind::kMap) {
      RETURN_IF_ERROR(read_account(account, account.key == system_account, options, warnings));
    }
  }
  if (ordinary != nullptr) {
    options.account = ordinary->key;
  }
  return {};
}

}  // namespace feedvault::broker
