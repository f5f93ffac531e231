// Paths of the service, which a proxy may publish under a prefix.

const PREFIX = document.documentElement.dataset.prefix;

export const BASE = location.origin + PREFIX;

export const pathOf = (path) => PREFIX + path;

// Returns to this page after signing in.
export function signInPath() {
  const here = location.pathname.slice(PREFIX.length) + location.search;
  return pathOf(`/sign-in?next=${encodeURIComponent(here)}`);
}
