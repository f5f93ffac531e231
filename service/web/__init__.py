"""HTTP plumbing shared by all routes: authentication, problems, headers, request bodies and middleware."""
