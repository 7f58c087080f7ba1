using System.Globalization;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;

namespace Librarian.Client;

/// <summary>
/// Explains why the platform rejects a site's certificate; the platform itself gives no reason. This class accepts nothing that the
/// platform rejects.
/// </summary>
internal static class CertificateCheck
{
    /// <summary>A <see cref="SslClientAuthenticationOptions.RemoteCertificateValidationCallback"/>.</summary>
    /// <exception cref="AuthenticationException">The certificate is rejected; the message gives the reason and the next step.</exception>
    internal static bool Validate(object sender, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors) =>
        errors == SslPolicyErrors.None
            ? true
            : throw new AuthenticationException(
                Explain(certificate as X509Certificate2, chain, errors, (sender as SslStream)?.TargetHostName, DateTime.UtcNow)
            );

    internal static string Explain(X509Certificate2? certificate, X509Chain? chain, SslPolicyErrors errors, string? host, DateTime now)
    {
        if (certificate is null)
            return "It has no certificate. Check that the address and port are a librarian's.";
        var about = $"its certificate ({certificate.Subject})";
        foreach (var one in chain?.ChainElements.Select(static e => e.Certificate).DefaultIfEmpty(certificate) ?? [certificate])
        {
            var which = one.Equals(certificate) ? about : $"a certificate above its own ({one.Subject})";
            if (one.NotAfter.ToUniversalTime() < now)
                return $"{which} expired on {Day(one.NotAfter)}. Its administrator has to renew it; "
                    + "if that day is not past, the clock of this machine is wrong.";
            if (one.NotBefore.ToUniversalTime() > now)
                return $"{which} is not valid before {Day(one.NotBefore)}. The clock of this machine may be wrong.";
        }

        if (errors.HasFlag(SslPolicyErrors.RemoteCertificateNameMismatch))
            return $"{about} is not made out for '{host}'. Use the name that it is for, or have its administrator get one for this name.";
        var status = chain?.ChainStatus.Aggregate(X509ChainStatusFlags.NoError, static (all, s) => all | s.Status)
            ?? X509ChainStatusFlags.NoError;
        return (status & (X509ChainStatusFlags.UntrustedRoot | X509ChainStatusFlags.PartialChain)) != X509ChainStatusFlags.NoError
            ? $"{about} is not signed by an authority that this machine trusts. "
                + "Add the authority to the machine's certificates (update-ca-certificates), or name it in SSL_CERT_FILE."
            : $"{about} is refused ({status}). Ask its administrator.";
    }

    private static string Day(DateTime time) => time.ToUniversalTime().ToString("yyyy-MM-dd HH:mm 'UTC'", CultureInfo.InvariantCulture);
}
