using Librarian.Domain.Security;

namespace Librarian.Domain.Configuration;

public static class SiteKeys
{
    /// <summary>
    /// Opens the cipher for peers' credentials, with the configured key or with one that is generated once into <c>encryption.key</c> in
    /// the data directory (mode 0600, on disk before it is used).
    /// </summary>
    public static Fernet OpenFernet(SiteOptions options, TimeProvider time)
    {
        ArgumentNullException.ThrowIfNull(options);
        var key = options.EncryptionKey;
        var setting = "Site:EncryptionKey";
        if (string.IsNullOrEmpty(key))
        {
            setting = Path.Combine(options.DataDirectory, "encryption.key");
            if (!File.Exists(setting))
                SecretFile.CreateOnce(setting, System.Text.Encoding.ASCII.GetBytes(Fernet.GenerateKey()));
            key = File.ReadAllText(setting).Trim();
        }

        return Fernet.TryCreate(key, time, out var fernet)
            ? fernet
            : throw new InvalidOperationException(
                $"{setting} does not hold a Fernet key (32 bytes in URL-safe base64). Restore it from your backup: "
                    + "without it the credentials of peers cannot be read."
            );
    }

    /// <summary>Whether no key is configured and none has been generated.</summary>
    public static bool IsMissing(SiteOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return string.IsNullOrEmpty(options.EncryptionKey) && !File.Exists(Path.Combine(options.DataDirectory, "encryption.key"));
    }
}
