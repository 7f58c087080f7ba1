using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Librarian.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;

namespace Librarian.Tests.Client;

/// <summary>Tests with a site whose certificate is rejected.</summary>
public sealed class CertificateTests
{
    [Theory]
    [InlineData(-400, -30, "localhost", "expired on ")]
    [InlineData(30, 400, "localhost", "is not valid before ")]
    [InlineData(-1, 400, "elsewhere", "is not made out for 'localhost'")]
    [InlineData(-1, 400, "localhost", "is not signed by an authority that this machine trusts")]
    public async Task Call_CertificateRefused_SaysWhyAndWhatToDo(int from, int to, string name, string reason)
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName(name);
        request.CertificateExtensions.Add(names.Build());
        using var certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(from), DateTimeOffset.UtcNow.AddDays(to));
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder
            .WebHost.UseKestrelHttpsConfiguration()
            .ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen => listen.UseHttps(certificate)));
        await using var site = builder.Build();
        await site.StartAsync(TestContext.Current.CancellationToken);
        Assert.True(SiteConnection.TryCreate("https://localhost", new Uri(site.Urls.Single()).Port, "ann", "x", out var connection, out _));
        using var client = new LibrarianClient(connection);

        var lost = Assert.IsType<Unreachable>((await client.PingAsync(TestContext.Current.CancellationToken)).Error);

        Assert.Contains(reason, lost.Why, StringComparison.Ordinal);
        Assert.DoesNotContain("inner exception", lost.Why, StringComparison.Ordinal);
        Assert.False(lost.Sent);
    }
}
