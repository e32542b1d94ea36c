export default function OverviewPage(_: { name?: string }) {
  return <p>Soon</p>;
}
