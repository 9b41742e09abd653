# The tests of the providers google and google-legacy.
herd_unit_test(google_key SOURCES test_google_key.c LINKS herd_places)
herd_unit_test(google_url SOURCES test_google_url.c LINKS herd_places)
