#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace feedvault {

/// A message type loaded from a .proto file at run time: decodes, checks and prints messages.
/// Immutable after load(); decoders are made of it, one a thread, and it must outlive them.
class MessageSchema {
 public:
  /// Reads the file (imports relative to its folder and the well-known types) and finds `type` in
  /// it. kInvalidArgument with file, line and what protobuf says, or with the types that the file
  /// has.
  static Result<std::unique_ptr<MessageSchema>> load(const std::string& proto_file,
                                                     const std::string& type);
  virtual ~MessageSchema() = default;

  struct Field {
    std::string name;
    std::string json_name;
    std::string type;  // "string", "float", "enum sport_type" ...
    bool required = false;
  };
  virtual const std::vector<Field>& fields() const = 0;
  virtual const std::string& type_name() const = 0;

  /// Decodes one message after another. Not for two threads at once.
  class Decoder {
   public:
    virtual ~Decoder() = default;

    /// Checks that `data` is a whole message: parses, has every required field, knows every enum
    /// number, strings are UTF-8. kCorruption with the reason in words ("missing required field
    /// match_title", "unknown number 99 for enum sport_type in field sport", "empty payload") when
    /// not.
    virtual Status check(std::string_view data) = 0;

    /// check(), and the decoded message, for protobuf's reflection: the fields of a feed that is
    /// known only at run time. Lives until the next call of this decoder.
    virtual Result<const google::protobuf::Message*> decode(std::string_view data) = 0;

    /// check(), and the message in protobuf's JSON mapping appended to `json`; on an error `json`
    /// is as it was.
    virtual Status to_json(std::string_view data, std::string& json) = 0;
  };
  virtual std::unique_ptr<Decoder> new_decoder() const = 0;
};

}  // namespace feedvault
