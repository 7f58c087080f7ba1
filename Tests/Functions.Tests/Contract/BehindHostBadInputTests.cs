namespace Librarian.Tests.Functions.Contract;

public sealed class SqliteBadInputBehindHostTests(SqliteSiteBehindHost site)
    : BehindHostBadInputTests(site),
        IClassFixture<SqliteSiteBehindHost>;

public sealed class PostgresBadInputBehindHostTests(PostgresSiteBehindHost site)
    : BehindHostBadInputTests(site),
        IClassFixture<PostgresSiteBehindHost>;

/// <summary>
/// The pipeline is the same as in process: a few hundred requests show that what lies before it, the host's part of the way, changes
/// nothing.
/// </summary>
public abstract class BehindHostBadInputTests(SharedSite site) : BadInputTests(site, requests: 300);
