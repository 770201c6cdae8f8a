#pragma once

#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"

namespace google::protobuf {
class Descriptor;
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace feedvault {

/// What protobuf's parser lets pass and we do not: proto2 keeps enum numbers that the definition
/// lacks among the unknown fields, and takes strings that are not UTF-8. Knows, per type, which
/// fields need a look, so that a check costs no list of fields a message. Immutable; any thread.
class MessageCheck {
 public:
  explicit MessageCheck(const google::protobuf::Descriptor& type);
  ~MessageCheck();
  MessageCheck(const MessageCheck&) = delete;
  MessageCheck& operator=(const MessageCheck&) = delete;

  /// Checks a parsed message of this type, nested ones too: enum numbers, UTF-8, then required
  /// fields. kCorruption with the field in words.
  Status check(const google::protobuf::Message& message) const;

 private:
  struct TypePlan;
  struct FieldPlan;
  struct Problem;

  const TypePlan* plan_for(const google::protobuf::Descriptor& type);
  static bool find_problem(const google::protobuf::Message& message,
                           const TypePlan& plan,
                           Problem& problem);
  static bool find_problem_in_field(const google::protobuf::Message& message,
                                    const FieldPlan& plan,
                                    int index,
                                    Problem& problem);
  static bool find_unknown_enum(const google::protobuf::Message& message, Problem& problem);

  std::unordered_map<const google::protobuf::Descriptor*, std::unique_ptr<TypePlan>> plans_;
  const TypePlan* root_ = nullptr;
};

/// Well-formed UTF-8: no overlong forms, surrogates, or code points past U+10FFFF.
bool is_utf8(std::string_view text);

}  // namespace feedvault
