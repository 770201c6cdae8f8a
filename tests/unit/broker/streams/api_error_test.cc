#include "broker/streams/api_error.h"

#include <map>

#include <gtest/gtest.h>

namespace feedvault::broker::streams {
namespace {

/// Numbers, codes and texts that clients rely on, written down a second time.
struct Known {
  int code;
  std::uint32_t err_code;
  const char* text;
};
constexpr Known kKnown[] = {
    {400, 10002, "resource limits exceeded for account"},
    {400, 10003, "bad request"},
    {503, 10008, "JetStream system temporarily unavailable"},
    {503, 10010, "JetStream clustering support required"},
    {500, 10012, "{err}"},
    {400, 10013, "consumer name already in use"},
    {404, 10014, "consumer not found"},
    {400, 10016, "consumer expected to be durable but no durable name set in subject"},
    {400, 10017, "consumer name in subject does not match durable name in request"},
    {400, 10018, "consumer expected to be durable but a durable name was not set"},
    {503, 10023, "insufficient resources"},
    {400, 10025, "invalid JSON"},
    {400, 10026, "maximum consumers limit reached"},
    {400, 10027, "maximum number of streams reached"},
    {404, 10037, "no message found"},
    {400, 10038, "expected an empty request payload"},
    {503, 10039, "JetStream not enabled for account"},
    {400, 10043, "sequence {seq} not found"},
    {500, 10049, "{err}"},
    {500, 10052, "{err}"},
    {400, 10054, "message size exceeds maximum allowed"},
    {400, 10055, "stream mirror configuration can not be updated"},
    {400, 10056, "stream name in subject does not match request"},
    {500, 10057, "{err}"},
    {400, 10058, "stream name already in use with a different configuration"},
    {404, 10059, "stream not found"},
    {400, 10060, "expected stream does not match"},
    {400, 10065, "subjects overlap with an existing stream"},
    {500, 10069, "{err}"},
    {400, 10070, "wrong last msg ID: {id}"},
    {400, 10071, "wrong last sequence: {seq}"},
    {500, 10074, "replicas > 1 not supported in non-clustered mode"},
    {503, 10076, "JetStream not enabled"},
    {503, 10077, "{err}"},
    {400, 10079, "consumer deliver subject has wildcards"},
    {400, 10080, "consumer in push mode can not set max waiting"},
    {400, 10081, "consumer deliver subject forms a cycle"},
    {400, 10082, "consumer requires ack policy for max ack pending"},
    {400, 10083, "consumer idle heartbeat needs to be >= 100ms"},
    {400, 10086, "consumer in pull mode can not have rate limit set"},
    {400, 10087, "consumer max waiting needs to be positive"},
    {400, 10088, "consumer idle heartbeat requires a push based consumer"},
    {400, 10089, "consumer flow control requires a push based consumer"},
    {400, 10093, "consumer filter subject is not a valid subset of the interest subjects"},
    {400, 10094, "{err}"},
    {400, 10097, "header size exceeds maximum allowed of 64k"},
    {400, 10098, "workqueue stream requires explicit ack"},
    {400, 10099, "multiple non-filtered consumers not allowed on workqueue stream"},
    {400, 10100, "filtered consumer not unique on workqueue stream"},
    {400, 10101, "consumer must be deliver all on workqueue stream"},
    {400, 10102, "consumer name is too long, maximum allowed is {max}"},
    {400, 10103, "durable name can not contain '.', '*', '>'"},
    {400, 10105, "consumer already exists and is still active"},
    {400, 10107, "consumer description is too long, maximum allowed is {max}"},
    {400, 10108, "consumer with flow control also needs heartbeats"},
    {400, 10109, "invalid operation on sealed stream"},
    {500, 10110, "{err}"},
    {500, 10111, "{err}"},
    {400, 10112, "invalid push consumer deliver subject"},
    {400, 10114, "consumer max request batch needs to be > 0"},
    {400, 10116, "max deliver is required to be > length of backoff values"},
    {400, 10127, "Consumer name can not contain path separators"},
    {400, 10128, "Stream name can not contain path separators"},
    {400, 10131, "Consumer create request did not match filtered subject from create subject"},
    {400, 10132, "Consumer Durable and Name have to be equal if both are provided"},
    {400, 10136, "consumer cannot have both FilterSubject and FilterSubjects specified"},
    {400, 10137, "consumer with multiple subject filters cannot use subject based API"},
    {400, 10138, "consumer subject filters cannot overlap"},
    {400, 10139, "consumer filter in FilterSubjects cannot be empty"},
    {400, 10148, "consumer already exists"},
    {400, 10149, "consumer does not exist"},
};

TEST(ApiErrorTest, HasTheNumbersAndTextsThatClientsRelyOn) {
  std::map<std::uint32_t, ErrorSpec> ours;
  for (const ErrorSpec& spec : errors::all()) {
    EXPECT_TRUE(ours.emplace(spec.err_code, spec).second) << spec.err_code << " twice";
  }
  for (const Known& known : kKnown) {
    ASSERT_TRUE(ours.contains(known.err_code)) << known.err_code;
    EXPECT_EQ(ours.at(known.err_code).code, known.code) << known.err_code;
    EXPECT_EQ(ours.at(known.err_code).text, known.text) << known.err_code;
  }
}

TEST(ApiErrorTest, PutsValuesIntoTexts) {
  EXPECT_EQ(make_error(errors::kWrongLastSequence, 42).description, "wrong last sequence: 42");
  EXPECT_EQ(make_error(errors::kStoreFailed, "full").description, "full");
  EXPECT_EQ(make_error(errors::kBadRequest, "ignored").description, "bad request");
}

}  // namespace
}  // namespace feedvault::broker::streams
