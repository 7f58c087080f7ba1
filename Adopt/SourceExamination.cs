using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Security;

namespace Librarian.Adopt;

/// <summary>Looks at the source before anything is written: its stores, its keys, its name, and whether it is still in use.</summary>
internal sealed class SourceExamination(
    UpstreamDatabase source,
    UpstreamStores stores,
    SiteOptions options,
    Fernet? fernet,
    AdoptFindings findings
)
{
    /// <summary>Refuses problems that an administrator has to solve first. Only the source and the disk are examined.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        await stores.ReadAsync(cancellationToken);
        stores.Examine();
        await ExamineKeysAsync(cancellationToken);
        await ExamineNameAsync(cancellationToken);
        await ExamineConnectionsAsync(cancellationToken);
    }

    private async Task ExamineKeysAsync(CancellationToken cancellationToken)
    {
        var (all, unreadable) = (0, new List<string>());
        await foreach (var row in source.ReadAsync("SELECT name, authenticator FROM librarians ORDER BY name", cancellationToken))
        {
            all++;
            var name = row.Text("name");
            if (fernet is null || !fernet.TryDecrypt(row.Text("authenticator", int.MaxValue), out var login))
                unreadable.Add(name);
            else if (login.Count(c => c == ':') > 1)
                findings.Note(
                    $"The password for '{name}' has a colon. The Python site sent only the part before it, this one sends all. "
                        + $"If '{name}' refuses us, register it anew."
                );
        }

        if (unreadable.Count == 0)
            return;
        findings.Refuse(
            "encryption-key",
            fernet is null
                ? $"The source holds encrypted credentials of {all} peers, and this site has no key. Nothing was changed. "
                    + "Set Site:EncryptionKey to the Python site's encryption_key (or Site:EncryptionKey_FILE to its encryption_key_file)."
                : "The key of this site (Site:EncryptionKey, or encryption.key in the data directory) does not decrypt the "
                    + $"credentials of {AdoptFindings.Quoted(unreadable)} ({unreadable.Count} of {all} peers). Nothing was changed. "
                    + "Set Site:EncryptionKey to the Python site's encryption_key."
        );
    }

    private async Task ExamineNameAsync(CancellationToken cancellationToken)
    {
        if (
            source.Has("remote_instances", "sender")
            && await source.ScalarAsync("SELECT sender FROM remote_instances ORDER BY id DESC LIMIT 1", cancellationToken) is string sender
            && sender != options.Name
        )
            findings.Note(
                $"The Python site called itself '{sender}', this one is '{options.Name}' (Site:Name). "
                    + "Peers know the old name: their accounts and registrations of this site must be renamed, "
                    + "or Site:Name corrected."
            );
    }

    private async Task ExamineConnectionsAsync(CancellationToken cancellationToken)
    {
        if (
            source.Kind == DatabaseKind.PostgreSql
            && Convert.ToInt64(
                await source.ScalarAsync(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                        + "AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
                    cancellationToken
                )
            )
                is > 0
                    and var others
        )
            findings.Note(
                $"{others} other connections to the source are open. If they are the Python site's, stop it and run again: "
                    + "what it does from now on is missing here."
            );
    }
}
