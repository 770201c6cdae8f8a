#include "tests/integration/broker/json_leaves.h"

#include <algorithm>
#include <set>

namespace feedvault::broker::testing {
namespace {

using nlohmann::json;
using Leaves = std::map<std::string, std::string>;

bool is_volatile(const std::string& name) {
  static const std::set<std::string> names = {"server_id",
                                              "now",
                                              "start",
                                              "uptime",
                                              "last_activity",
                                              "idle",
                                              "stop",
                                              "rtt",
                                              "mem",
                                              "cpu",
                                              "port",
                                              "cid",
                                              "cores",
                                              "gomaxprocs",
                                              "go",
                                              "version",
                                              "git_commit",
                                              "http_port",
                                              "config_load_time",
                                              "update_time"};
  return names.count(name) > 0;
}

std::string type_of(const json& value) {
  return value.is_number() ? "number" : value.type_name();
}

json sorted(json list) {
  std::sort(
      list.begin(), list.end(), [](const json& a, const json& b) { return a.dump() < b.dump(); });
  return list;
}

std::string member_path(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "." + name;
}

void flatten(const json& value, const std::string& path, Leaves& into) {
  if (value.is_object()) {
    into[path + "{}"] = "object";
    for (const auto& [name, member] : value.items()) {
      const std::string at = member_path(path, name);
      if (is_volatile(name)) {
        into[at] = type_of(member);
      } else {
        const bool any_order = name.compare(0, 18, "subscriptions_list") == 0;
        flatten(any_order ? sorted(member) : member, at, into);
      }
    }
  } else if (value.is_array()) {
    into[path + "[]"] = std::to_string(value.size());
    for (const json& item : value) {
      flatten(item, path + "[]", into);
    }
  } else {
    std::string& seen = into[path];
    seen += (seen.empty() ? "" : ", ") + value.dump();
  }
}

void add_shape(const json& value, const std::string& path, Leaves& into) {
  into[path] = type_of(value);
  for (const auto& [name, member] : value.items()) {
    if (value.is_structured()) {
      add_shape(member, value.is_array() ? path + "[]" : member_path(path, name), into);
    }
  }
}

}  // namespace

Leaves leaves_of(const json& answer) {
  Leaves leaves;
  flatten(answer, "", leaves);
  return leaves;
}

Leaves shape_of(const json& answer) {
  Leaves shape;
  add_shape(answer, "", shape);
  return shape;
}

}  // namespace feedvault::broker::testing
