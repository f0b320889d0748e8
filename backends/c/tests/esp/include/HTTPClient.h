/* Stand-in for Arduino's, whose texts are made of literals, too. */
#ifndef STAND_IN_HTTPCLIENT_H
#define STAND_IN_HTTPCLIENT_H
class HTTPClient {
 public:
  bool begin(const char *url);
  void addHeader(const char *name, const char *value);
  int POST(const char *body);
  void end();
};
#endif
